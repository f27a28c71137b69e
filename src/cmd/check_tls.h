/* SPDX-License-Identifier: ISC */
#ifndef CMD_CHECK_TLS_H
#define CMD_CHECK_TLS_H

#include "conf/table.h"

/* Does a service with this chain (or smtpd_tls_cert_file) have a certificate
 * at all?  What is wrong with it becomes a problem. */
bool check_certificate(const struct conf *c, const char *param,
	struct str chain, struct problems *p);
void check_sni(const struct conf *c, struct tables *tables, struct problems *p);
/* OpenSSL's own configuration; before anything else of OpenSSL. */
void check_openssl(const struct conf *c, struct problems *p);
void check_trust_anchors(const struct conf *c, struct problems *p);
void check_oauth(const struct conf *c, struct problems *p);

/* smtp_tls_security_level, smtp_tls_policy_maps, DANE. */
void check_client_tls(
	const struct conf *c, struct tables *tables, struct problems *p);

#endif
