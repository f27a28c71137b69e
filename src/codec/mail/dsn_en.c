/* SPDX-License-Identifier: ISC */
#include "codec/mail/dsn_words.h"

const struct dsn_words dsn_words_en = {
	.language = "en",
	.subject = {"Undelivered Mail Returned to Sender",
		"Delayed Mail (still being retried)",
		"Successful Mail Delivery Report",
		"Successful Mail Delivery Report"},
	.lead = {"Your message could not be delivered to:",
		"Your message has not been delivered yet; you need not send it "
		"again.\r\nStill waiting for:",
		"Your message was delivered to:",
		"Your message was handed on. The next server does not report "
		"any further:"},
	.from_system = "This is the mail system at %.",
	.host_said = "host % said: ",
	.tried_until = "It is tried until ",
	.details = "Below this are the details for experts, and your message.",
	.cause =
		{
			[DSN_CAUSE_OTHER] = {"The server of the recipient did "
					     "not take it.",
				"Its words, below, say why. If they do not "
				"help, ask the recipient, or the postmaster "
				"there."},
			[DSN_CAUSE_ADDRESS] = {"There is no such address at "
					       "that place.",
				"Look whether it is spelt right, and ask the "
				"recipient by another way whether it has "
				"changed."},
			[DSN_CAUSE_DOMAIN] = {"What stands behind the @ is no "
					      "place that takes mail.",
				"Look whether it is spelt right."},
			[DSN_CAUSE_FULL] = {"The mailbox of the recipient is "
					    "full.",
				"Only the recipient can make room. Say so by "
				"another way, or send it again later."},
			[DSN_CAUSE_DISABLED] = {"The mailbox of the recipient "
						"takes no mail at present.",
				"Ask the recipient by another way."},
			[DSN_CAUSE_SIZE] = {"The message is larger than the "
					    "server of the recipient takes.",
				"Send less at once, or a link in place of the "
				"attachment."},
			[DSN_CAUSE_REFUSED] = {"The server of the recipient "
					       "refused it by its rules. The "
					       "address may well be right.",
				"Its words, below, say why. If you cannot mend "
				"it, show them to your postmaster, or ask the "
				"recipient to let you in."},
			[DSN_CAUSE_UNREACHED] = {"The server of the recipient "
						 "could not be reached.",
				"That is for the other side to mend. Try again "
				"later, or tell the recipient by another "
				"way."},
			[DSN_CAUSE_LOOP] = {"The message went in circles: "
					    "servers pass it on to each other.",
				"The postmaster of the recipient must mend "
				"that; please show this report there."},
			[DSN_CAUSE_SECURITY] = {"There is no way to the "
						"recipient that is as safe as "
						"it has to be, so it was not "
						"sent.",
				"The postmaster of the recipient must mend "
				"that. What is not secret can be sent without "
				"the demand."},
			[DSN_CAUSE_FORM] = {"The server of the recipient "
					    "cannot take a message, or an "
					    "address, of this kind.",
				"Try it with plain letters in the address, or "
				"as plain text."},
			[DSN_CAUSE_OURS] = {"Something is wrong with our own "
					    "server, not with your message.",
				"Please tell our postmaster."},
			[DSN_CAUSE_TIME] = {"You asked for it to be delivered "
					    "by a certain time, and that was "
					    "not possible.",
				"Send it again, without that time or with a "
				"later one."},
			[DSN_CAUSE_ADMINISTRATOR] = {"It could not be "
						     "delivered so far, and "
						     "the administrator has "
						     "given it up.",
				"Ask our postmaster why."},
		},
};
