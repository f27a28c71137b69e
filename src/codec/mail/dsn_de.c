/* SPDX-License-Identifier: ISC */
#include "codec/mail/dsn_words.h"

const struct dsn_words dsn_words_de = {
	.language = "de",
	.subject = {"Ihre Nachricht konnte nicht zugestellt werden",
		"Ihre Nachricht ist noch nicht zugestellt",
		"Ihre Nachricht wurde zugestellt",
		"Ihre Nachricht wurde weitergegeben"},
	.lead = {"Ihre Nachricht konnte nicht zugestellt werden an:",
		"Ihre Nachricht ist noch nicht zugestellt; Sie brauchen sie "
		"nicht noch einmal zu senden.\r\nNoch offen:",
		"Ihre Nachricht wurde zugestellt an:",
		"Ihre Nachricht wurde weitergegeben. Der nächste Server meldet "
		"nicht, was aus ihr wird:"},
	.from_system = "Hier ist der Mailserver %.",
	.host_said = "Der Server % hat geantwortet: ",
	.tried_until = "Es wird weiter versucht bis ",
	.details = "Darunter stehen die Einzelheiten für Fachleute und Ihre "
		   "Nachricht.",
	.cause =
		{
			[DSN_CAUSE_OTHER] = {"Der Server des Empfängers hat "
					     "sie nicht angenommen.",
				"Seine Worte unten sagen, warum. Wenn sie "
				"nicht "
				"helfen, fragen Sie den Empfänger oder den "
				"Postmaster dort."},
			[DSN_CAUSE_ADDRESS] = {"Diese Adresse gibt es dort "
					       "nicht.",
				"Prüfen Sie die Schreibweise, und fragen Sie "
				"den Empfänger auf anderem Weg, ob sie sich "
				"geändert hat."},
			[DSN_CAUSE_DOMAIN] = {"Was hinter dem @ steht, ist "
					      "kein Ort, der Mail annimmt.",
				"Prüfen Sie die Schreibweise."},
			[DSN_CAUSE_FULL] = {"Das Postfach des Empfängers ist "
					    "voll.",
				"Nur der Empfänger kann Platz schaffen. Sagen "
				"Sie es ihm auf anderem Weg, oder senden Sie "
				"sie später noch einmal."},
			[DSN_CAUSE_DISABLED] = {"Das Postfach des Empfängers "
						"nimmt zurzeit nichts an.",
				"Fragen Sie den Empfänger auf anderem Weg."},
			[DSN_CAUSE_SIZE] = {"Die Nachricht ist größer, als der "
					    "Server des Empfängers annimmt.",
				"Senden Sie weniger auf einmal, oder einen "
				"Link statt des Anhangs."},
			[DSN_CAUSE_REFUSED] = {"Der Server des Empfängers hat "
					       "sie nach seinen Regeln "
					       "abgelehnt. Die Adresse kann "
					       "richtig sein.",
				"Seine Worte unten sagen, warum. Wenn Sie es "
				"nicht ändern können, zeigen Sie sie Ihrem "
				"Postmaster, oder bitten Sie den Empfänger, "
				"Sie zuzulassen."},
			[DSN_CAUSE_UNREACHED] = {"Der Server des Empfängers "
						 "war nicht zu erreichen.",
				"Das kann nur die andere Seite beheben. "
				"Versuchen Sie es später, oder sagen Sie es "
				"dem Empfänger auf anderem Weg."},
			[DSN_CAUSE_LOOP] = {"Die Nachricht lief im Kreis: "
					    "Server geben sie einander weiter.",
				"Das muss der Postmaster des Empfängers "
				"beheben; bitte zeigen Sie ihm diesen "
				"Bericht."},
			[DSN_CAUSE_SECURITY] = {"Es gibt keinen Weg zum "
						"Empfänger, der so sicher ist, "
						"wie er sein muss; darum wurde "
						"sie nicht gesendet.",
				"Das muss der Postmaster des Empfängers "
				"beheben. Was nicht geheim ist, können Sie "
				"ohne diese Forderung senden."},
			[DSN_CAUSE_FORM] = {"Der Server des Empfängers kann "
					    "eine solche Nachricht oder "
					    "Adresse nicht annehmen.",
				"Versuchen Sie es mit einfachen Buchstaben in "
				"der Adresse oder als reinen Text."},
			[DSN_CAUSE_OURS] = {"An unserem eigenen Server stimmt "
					    "etwas nicht, nicht an Ihrer "
					    "Nachricht.",
				"Bitte sagen Sie es unserem Postmaster."},
			[DSN_CAUSE_TIME] = {"Sie sollte bis zu einer "
					    "bestimmten Zeit zugestellt sein; "
					    "das war nicht möglich.",
				"Senden Sie sie noch einmal, ohne diese Zeit "
				"oder mit einer späteren."},
			[DSN_CAUSE_ADMINISTRATOR] = {"Sie konnte bisher nicht "
						     "zugestellt werden, und "
						     "der Verwalter hat sie "
						     "aufgegeben.",
				"Fragen Sie unseren Postmaster, warum."},
		},
};
