"""Variables of other programs: those of fastapi-mail and of the full-stack-fastapi-template.

A project that moves to this package can keep them. Each has a meaning only where nothing else sets the field.
"""

from typing import Any

from kafka_email.config.loan import Loan, as_flag
from kafka_email.config.origins import current_origins

_TLS_PORT = "465"
# For STARTTLS, for TLS from the first byte. fastapi-mail before 1.0 had the last two.
_SECURITY_FLAGS = (("SMTP_TLS", "SMTP_SSL"), ("MAIL_STARTTLS", "MAIL_SSL_TLS"), ("MAIL_TLS", "MAIL_SSL"))


def borrow_smtp(loan: Loan) -> None:
    """Fill the fields of ``SmtpConfig``."""
    loan.take("host", "MAIL_SERVER")
    loan.take("port", "MAIL_PORT")
    loan.take("helo_name", "LOCAL_HOSTNAME")
    loan.take("verify", "VALIDATE_CERTS")
    _borrow_credentials(loan)
    _borrow_security(loan)
    if as_flag(loan.value("verify")) is not False and _word(loan.value("security")) != "none":
        loan.take("cafile", "CERT_BUNDLE")


def borrow_worker(loan: Loan) -> None:
    """Fill the fields of ``WorkerConfig``."""
    loan.take("from_address", "EMAILS_FROM_EMAIL", "MAIL_FROM")
    loan.take("from_name", "EMAILS_FROM_NAME", "EMAIL_FROM_NAME", "MAIL_FROM_NAME")
    loan.take("templates", "TEMPLATE_FOLDER")
    # Sending mails against its will would be as wrong as dropping them.
    if loan.flag("SUPPRESS_SEND", "mail_folder") and not loan.value("mail_folder"):
        current_origins().problems.append(
            (
                "mail_folder",
                "SUPPRESS_SEND forbids to send mails: name a folder into which the worker writes "
                "them (KAFKA_WORKER_MAIL_FOLDER), or remove SUPPRESS_SEND",
            )
        )


def _borrow_credentials(loan: Loan) -> None:
    loan.take("username", "SMTP_USER")
    # MAIL_PASSWORD is for MAIL_SERVER: no other host may learn it.
    if loan.text("MAIL_SERVER") is not None and _word(loan.text("MAIL_SERVER")) != _word(loan.value("host")):
        return
    if loan.flag("USE_CREDENTIALS", "username") is False:
        if loan.text("MAIL_USERNAME") is not None and loan.value("username") is None:
            current_origins().note_foreign("username", "USE_CREDENTIALS")
        return
    loan.take("username", "MAIL_USERNAME")
    if loan.value("token_provider") is None:
        loan.take("password", "MAIL_PASSWORD")


def _borrow_security(loan: Loan) -> None:
    """Read the two flags of a program; `SmtpConfig` knows what to do without them.

    Nothing but TLS works on port 465. Where both flags are set, fastapi-mail fails and the template uses STARTTLS.
    """
    if _word(loan.value("port")) == _TLS_PORT:
        return
    for starttls_name, tls_name in _SECURITY_FLAGS:
        if loan.value("security") is not None:
            return
        starttls, tls = loan.flag(starttls_name, "security"), loan.flag(tls_name, "security")
        if starttls:
            loan.set("security", "starttls", starttls_name)
        elif tls:
            loan.set("security", "tls", tls_name)
        elif starttls is False:
            loan.set("security", "none", starttls_name, *([tls_name] if tls is False else []))


def _word(value: Any) -> str:
    return "" if value is None else str(value).strip().lower()
