"""SMTP servers that are not ours: Postfix's smtp-sink, and aiosmtpd."""
