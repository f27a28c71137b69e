/* SPDX-License-Identifier: ISC */
#ifndef NET_TLS_CONFIG_H
#define NET_TLS_CONFIG_H

#include "base/fault.h"
#include "base/str.h"

/*
 * OpenSSL's own configuration, config(5): postconf(5) tls_config_file (default,
 * none, or a file) and tls_config_name (the section's; empty: OpenSSL's).
 * Before anything else of OpenSSL; once in a process.
 */
bool tls_config_load(struct str file, struct str name, struct fault *f);

#endif
