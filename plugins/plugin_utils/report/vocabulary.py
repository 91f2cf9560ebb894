# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The journal's words as messages: English here, every other language in the catalogs."""

from __future__ import annotations

from ansible_collections.dihya.migration.plugins.plugin_utils.i18n.catalog import N_, NP_

# The guide's own words for the parts of an application, in its order.
GUIDE_STACKS = ("Frontend", "Backend", "Mobile", "DB", "Infra")
STACK_WORDS = {
    "frontend": "Frontend",
    "backend": "Backend",
    "jobs": "Backend",
    "mobile": "Mobile",
    "postgresql": "DB",
    "mongodb": "DB",
    "infrastructure": "Infra",
    "cicd": "Infra",
    "monitoring": "Infra",
    "traffic": "Infra",
}
# The template of the guide, line by line.
FIELDS = {
    "date_time": N_("Date/Time"),
    "stack": N_("Stack concerned"),
    "description": N_("Description"),
    "steps": N_("Steps done"),
    "tests": N_("Tests passed"),
    "problems": N_("Problems met"),
    "rollback": N_("Rollback done"),
    "status": N_("Final status"),
    "responsible": N_("Person in charge"),
    "proofs": N_("Proofs"),
    "comment": N_("Comment"),
}
VERBS = {
    "preflight": N_("checks beforehand"),
    "backup": N_("backup"),
    "freeze": N_("write freeze"),
    "migrate": N_("migration"),
    "verify": N_("verification"),
    "commit": N_("switch-over"),
    "rollback": N_("rollback"),
    "checklist": N_("checklist"),
    "begin": N_("start of the run"),
    "end": N_("end of the run"),
}
STATUSES = {
    "ok": N_("done"),
    "failed": N_("failed"),
    "skipped": N_("skipped"),
    "not_applicable": N_("nothing to do"),
    "started": N_("begun, not finished"),
}
OUTCOMES = {
    "ok": N_("succeeded"),
    "rolled_back": N_("failed and rolled back"),
    "rollback_incomplete": N_("failed, rolled back only in part"),
    "interrupted": N_("interrupted"),
    "waiting": N_("waiting for the switch-over"),
    "failed_after_commit": N_("failed after the switch-over"),
    "refused": N_("refused before it began"),
}
STATUS_NOTES = {
    "rollback_incomplete": N_("rolled back only in part"),
    "interrupted": N_("interrupted"),
    "waiting": N_("not finished: waiting for the switch-over"),
    "failed_after_commit": N_("after the switch-over"),
    "refused": N_("refused before it began"),
}
PURPOSES = {
    "migrate": N_("whole migration"),
    "backup": N_("backup only"),
    "verify": N_("verification only"),
    "commit": N_("switch-over"),
    "rollback": N_("rollback"),
    "preflight": N_("checks beforehand"),
}
VERDICTS = {
    "proved": N_("proved"),
    "attested": N_("attested"),
    "waived": N_("waived"),
    "not_demonstrated": N_("not demonstrated"),
    "failed": N_("failed"),
    "passed": N_("passed"),
    "skipped": N_("skipped"),
    "ok": N_("done"),
    "owed": N_("still owed"),
    "unreachable": N_("host unreachable, still owed"),
    "not_applicable": N_("nothing to do"),
    "started": N_("begun, not finished"),
}
# The eight items, worded as the guide words them.
ITEMS = {
    "backup": N_("Complete backup (data, configuration, secrets, assets, logs)"),
    "access": N_("Access checked (RBAC, MFA)"),
    "documentation": N_("Documentation up to date (README, configuration, scripts)"),
    "rehearsal": N_("Migration scripts tested in staging"),
    "rollback_plan": N_("Rollback plan ready and tested"),
    "notification": N_("Stakeholders notified (Slack, e-mail)"),
    "window": N_("Maintenance window approved"),
    "compliance": N_("Compliance approved (GDPR, accessibility, sovereignty)"),
}
COUNTS = {
    "tables": N_("tables"),
    "rows": N_("rows"),
    "files": N_("files"),
    "bytes": N_("volume"),
    "databases": N_("databases"),
    "roles": N_("roles"),
    "large_objects": N_("large objects"),
    "directories": N_("directories"),
    "links": N_("links"),
    "sequences": N_("sequences"),
    "indexes": N_("indexes"),
    "extensions": N_("extensions"),
    "schemas": N_("schemas"),
    "views": N_("views"),
    "functions": N_("functions"),
    "constraints": N_("constraints"),
    "settings": N_("settings"),
    "grants": N_("grants"),
    "objects": N_("objects"),
    "errors": N_("errors"),
    "differences": N_("differences"),
    "connections": N_("connections"),
    "copies": N_("copies"),
    "findings": N_("points to be known"),
    "jobs": N_("jobs"),
    "other_sessions": N_("sessions of others"),
    "uploads": N_("uploaded files"),
    "upload_bytes": N_("volume of the uploaded files"),
    "uploads_added": N_("uploaded files added since the pass before"),
    "uploads_changed": N_("uploaded files changed since the pass before"),
    "uploads_removed": N_("uploaded files removed since the pass before"),
}
NOT_PROVED = {
    "not_proved": N_("not proved"),
    "skipped": N_("not done"),
    "explained": N_("explained difference"),
    "test_skipped": N_("test not run"),
    "step_skipped": N_("step skipped"),
    "not_demonstrated": N_("not demonstrated"),
    "waived": N_("waived"),
}
NOTICES = {
    "takeover": N_("The lock of another run was taken over."),
    "controller_only": N_(
        "This report was made from the run log of the controller, because the report task of the run did not come: it holds only "
        "what the controller saw. The playbook report makes it again from the journal."
    ),
    "stopped_sigterm": N_("The run was told to stop (SIGTERM)."),
    "stopped_sigint": N_("Somebody interrupted the run (Ctrl-C)."),
    "stopped_sighup": N_("The run lost its terminal (SIGHUP)."),
    "stopped_killed": N_("The run was killed: it could not say anything any more."),
    "stopped_ended": N_("The run ended without its report task."),
    "resumed_blind": N_("The run went on with an earlier one whose events are not on this controller."),
    "torn_write": N_("An unfinished last line of the journal was set aside."),
}
STATES = {
    "source": N_("Users read and write on the old site."),
    "target": N_("Users read and write on the new site."),
    "nowhere": N_("Users read the old site; their writes are refused (write freeze)."),
    "unknown": N_("What users can do is not known here: the playbook status reads it from the journal."),
    "uncertain": N_("Users read the old site; some of their writes may be refused, because the write freeze did not finish."),
}
KINDS = {
    "manifest": N_("manifest of a copy"),
    "capture": N_("state before the freeze"),
    "reopen_script": N_("script that reopens the old site"),
    "restart_script": N_("script that starts the jobs of the old site again"),
    "row_digests": N_("digests of the rows"),
    "page_audit": N_("record of the pages"),
    "lighthouse": N_("record of Lighthouse"),
    "cache_headers": N_("record of the cache headers"),
    "log": N_("log"),
    "database": N_("database"),
    "role": N_("role"),
    "release": N_("release"),
    "unit": N_("service unit"),
    "process": N_("process"),
    "path": N_("path"),
    "snapshot": N_("restore point"),
}
COMPONENTS = {
    "client": N_("PostgreSQL client tools"),
    "source": N_("PostgreSQL, old site"),
    "target": N_("PostgreSQL, new site"),
    "row_digest": N_("method of the row digests"),
    "schema_before": N_("schema revision before"),
    "schema_after": N_("schema revision after"),
    "schema_wanted": N_("schema revision that the release wants"),
}
# Why a difference is no failure, in words.
RULES = {
    "administrator": N_("the login that does the migration is each server's own"),
    "role_not_used": N_("a role that nothing migrated belongs to"),
    "role_of_the_target": N_("a role that the target had before"),
    "schema_change": N_("the release's schema tool changed it on purpose"),
    "extension_version": N_("the target's version of the extension"),
    "extension_of_the_server": N_("an extension that the server brings along"),
    "inherited_column_order": N_("a column that a parent table got later: a restore puts those of the parents first"),
    "subscription_arrives": N_("a subscription, which is restored disabled and with defaults of the target"),
    "sequence_in_use": N_("a sequence that was used while the backup was made"),
    "sequence_behind": N_("a sequence that was behind the numbers in its column before, and was moved as it was"),
    "login_proved": N_("the same password with another salt: its login was proved"),
    "pinned_setting": N_("a setting that each server has of its own"),
    "not_carried": N_("the target does not take it, or has its own"),
    "changed_beside_the_freeze": N_("changed by others since the freeze began, what the freeze itself changed is as before"),
    "fence_moved_rows_equal": N_("the fence moved, every row is the same"),
    "fence_moved_by_maintenance": N_("the fence moved by maintenance of the server, no row was written"),
}
# What an outcome means to the person who reads it.
RESULTS = {
    "ok": N_("The migration is complete."),
    "rolled_back": N_("Everything was rolled back and has its former state again."),
    "rollback_incomplete": N_("Not everything could be rolled back: run the rollback again."),
    "interrupted": N_("The run was interrupted; nothing is undone by itself: resume it or roll it back."),
    "waiting": N_("Everything is migrated and proved; the switch-over waits for its command."),
    "failed_after_commit": N_(
        "The failure came after the switch-over: the data were not rolled back, because going back would lose what users "
        "have written on the new site since."
    ),
    "refused": N_("The run was refused: it changed nothing."),
}
FIGURES = {
    "passed": NP_("{number} passed", "{number} passed"),
    "failed": NP_("{number} failed", "{number} failed"),
    "skipped": NP_("{number} skipped", "{number} skipped"),
}
