"""The audit in SQLite: a chained, durable writer, and readers for explain, verify and the panel."""

from adapters.storage.audit import SqliteAudit, open_audit
from adapters.storage.reader import SqliteAuditReader
from adapters.storage.set_aside import set_aside
from adapters.storage.settings import AuditSettings

__all__ = ["AuditSettings", "SqliteAudit", "SqliteAuditReader", "open_audit", "set_aside"]
