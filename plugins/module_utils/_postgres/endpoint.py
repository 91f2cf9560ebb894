# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A PostgreSQL server as the inventory names it, and the two ways to reach it: psycopg2 and the client tools.

psycopg2 is imported only when a connection is made, so that arguments are checked and planned without it.
"""

from __future__ import annotations

import platform
import re
from dataclasses import dataclass
from typing import Any

from ansible_collections.dihya.migration.plugins.module_utils._errors import MigrationError

ENDPOINT_SPEC: dict[str, dict[str, Any]] = {
    "host": {"type": "str", "required": True},
    "port": {"type": "int", "default": 5432},
    "user": {"type": "str", "required": True},
    "password": {"type": "str", "no_log": True},
    "passfile": {"type": "path", "no_log": False},  # a path, not a secret: without it errors could not name the file
    "dbname": {"type": "str", "default": "postgres"},
    "sslmode": {"type": "str", "default": "verify-full",
                "choices": ["disable", "allow", "prefer", "require", "verify-ca", "verify-full"]},
    "sslrootcert": {"type": "path"},
    "connect_timeout": {"type": "int", "default": 10},
}

# Whatever makes two servers print the same value differently, or end a long session early (see the row digest).
PINNED = {
    "bytea_output": "hex", "client_min_messages": "error", "datestyle": "ISO, MDY", "extra_float_digits": "3",
    "idle_in_transaction_session_timeout": "0", "idle_session_timeout": "0", "intervalstyle": "postgres", "jit": "off",
    "lc_monetary": "C", "lock_timeout": "0", "quote_all_identifiers": "off", "row_security": "off", "search_path": "",
    "statement_timeout": "0", "timezone": "UTC", "transaction_timeout": "0", "xmlbinary": "base64", "xmloption": "content",
}

# Connection errors carry no SQLSTATE in psycopg2, so their text is all there is to tell them apart.
CONNECTION_FAILURES = (
    ("password", r"password authentication failed|authentification par mot de passe|no password supplied|fe_sendauth"),
    ("hba", r"pg_hba\.conf"),
    ("tls", r"\bSSL\b|\bTLS\b|certificat"),
    ("database", r'(database|base de données).*(does not exist|n.existe pas)'),
    ("login", r"not permitted to log in|not currently accepting connections|permission denied for database|"
              r"role .* does not exist|authentication failed"),
    ("busy", r"too many (clients|connections)|remaining connection slots|starting up|shutting down|recovery mode"),
)
SENTENCES = {
    "password": "the password of user {user} was refused",
    "hba": "the server's pg_hba.conf admits no connection of user {user} from here",
    "tls": "no trusted TLS connection could be made (sslmode {sslmode})",
    "database": "the database does not exist",
    "login": "user {user} may not log in",
    "busy": "the server accepts no connection now (starting, stopping, or no slot left)",
    "unreachable": "nothing answers there",
}


@dataclass(frozen=True)
class Endpoint:
    """One server with the login used on it; ``connect_timeout`` in seconds."""

    host: str
    user: str
    port: int = 5432
    password: str | None = None
    passfile: str | None = None
    dbname: str = "postgres"
    sslmode: str = "verify-full"
    sslrootcert: str | None = None
    connect_timeout: int = 10

    @classmethod
    def from_options(cls, options: dict[str, Any]) -> Endpoint:
        """The endpoint of a module option declared by ``ENDPOINT_SPEC``."""
        return cls(**{name: options[name] for name in ENDPOINT_SPEC if options.get(name) is not None})

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"

    def __repr__(self) -> str:
        return f"Endpoint({self.user}@{self})"  # never the password, whatever prints us


def import_psycopg2() -> Any:
    """The module ``psycopg2``; raises :class:`MigrationError` naming the host and the package when it is missing."""
    try:
        import psycopg2
    except ImportError:
        raise MigrationError(f"psycopg2 is missing on {platform.node()}: install python3-psycopg2") from None
    return psycopg2


def connect(endpoint: Endpoint, dbname: str | None = None, application_name: str = "dihya", autocommit: bool = True) -> Any:
    """A psycopg2 connection to ``dbname`` (default: the endpoint's own).

    Raises :class:`MigrationError` with facts ``kind`` (a key of ``SENTENCES``) and ``subject`` (``host:port``).
    """
    psycopg2 = import_psycopg2()
    optional = {"password": endpoint.password, "passfile": endpoint.passfile, "sslrootcert": endpoint.sslrootcert}
    try:
        connection = psycopg2.connect(
            host=endpoint.host, port=endpoint.port, user=endpoint.user, dbname=dbname or endpoint.dbname,
            sslmode=endpoint.sslmode, connect_timeout=endpoint.connect_timeout, application_name=application_name,
            client_encoding="UTF8", **{name: value for name, value in optional.items() if value})
    except psycopg2.Error as error:
        kind = connection_failure(str(error))
        reason = SENTENCES[kind].format(user=endpoint.user, sslmode=endpoint.sslmode)
        raise MigrationError(f"no connection to database {dbname or endpoint.dbname} on {endpoint}: {reason}",
                             kind=kind, subject=str(endpoint)) from None
    connection.autocommit = autocommit
    return connection


def connection_failure(text: str) -> str:
    """The kind of connection failure (a key of ``SENTENCES``) that libpq's message ``text`` tells."""
    for kind, pattern in CONNECTION_FAILURES:
        if re.search(pattern, text, re.IGNORECASE):
            return kind
    return "unreachable"


def pin_session(connection: Any) -> None:
    """Set the ``PINNED`` settings that this server knows, for the session."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_catalog.set_config(s.name, p.value, false) FROM"
            " ROWS FROM (pg_catalog.unnest(%s::text[]), pg_catalog.unnest(%s::text[])) AS p(name, value)"
            " JOIN pg_catalog.pg_settings s ON pg_catalog.lower(s.name) = p.name",
            (list(PINNED), list(PINNED.values())))


def libpq_environment(endpoint: Endpoint, application_name: str = "dihya") -> dict[str, str]:
    """Environment that lets a client tool reach ``endpoint`` (give databases to the tool as ``database_argument``).

    The password travels in ``passfile`` only; raises :class:`MigrationError` when there is a password without one.
    """
    if endpoint.password and not endpoint.passfile:
        raise MigrationError(f"the client tools need a passfile for {endpoint}: a password in their environment could be read by others")
    variables = {
        "PGHOST": endpoint.host, "PGPORT": str(endpoint.port), "PGUSER": endpoint.user, "PGDATABASE": endpoint.dbname,
        "PGPASSFILE": endpoint.passfile or "", "PGSSLMODE": endpoint.sslmode, "PGSSLROOTCERT": endpoint.sslrootcert or "",
        "PGCONNECT_TIMEOUT": str(endpoint.connect_timeout), "PGAPPNAME": application_name, "PGCLIENTENCODING": "UTF8",
    }
    return {name: value for name, value in variables.items() if value}


def database_argument(dbname: str) -> str:
    """``dbname`` for the option ``--dbname`` of a client tool, which reads ``a=b`` and ``postgres://…`` as more than a name."""
    return conninfo(dbname=dbname)


def conninfo(**words: str) -> str:
    """A connection string of libpq; it is shown to other users, so no password belongs in it."""
    quoted = {name: value.replace("\\", "\\\\").replace("'", "\\'") for name, value in words.items()}
    return " ".join(f"{name}='{value}'" for name, value in quoted.items())


def passfile_line(password: str, host: str = "*", port: int | str = "*", user: str = "*") -> str:
    """The line of a libpq password file that gives ``password`` to whoever asks, or to those who ask for this login."""
    host, user, password = (word.replace("\\", "\\\\").replace(":", "\\:") for word in (host, user, password))
    return f"{host}:{port}:*:{user}:{password}\n"


def describe_error(error: Any) -> str:
    """SQLSTATE and object of a ``psycopg2.Error``, with nothing of the message, which may hold rows."""
    diag = getattr(error, "diag", None)
    names = [getattr(diag, part, None) for part in ("schema_name", "table_name", "column_name", "datatype_name")]
    text = f"SQLSTATE {getattr(error, 'pgcode', None) or 'unknown'}"
    if any(names):
        text += " on " + ".".join(name for name in names if name)
    constraint = getattr(diag, "constraint_name", None)
    return text + (f", constraint {constraint}" if constraint else "")
