# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Sentences that modules and roles of this collection write into the journal, to be said in the reader's language.

One that is missing here is no error: the report shows it in English and marks it so.
"""

from __future__ import annotations

from ansible_collections.dihya.migration.plugins.module_utils._checklist.texts import TEXTS
from ansible_collections.dihya.migration.plugins.plugin_utils.i18n.catalog import N_
from ansible_collections.dihya.migration.plugins.plugin_utils.report.findings import FINDINGS

NOTHING_TO_DO = (
    N_("the mover asks"),
    N_("the mover makes the copy"),
    N_("no host is in both groups, {stack} and source"),
    N_("no source host has a tree to copy"),
    N_("a front end takes no writes"),
    N_("the mover tests and asks"),
    N_("only the target hosts were changed"),
    N_("the release is deployed on the target hosts"),
    N_("health is proved on the target hosts"),
    N_("the database and the public address stop writes; the old back end goes on answering reads"),
    N_("the tests run on the target hosts"),
    N_("the mover holds the public address"),
    N_("there is nothing to copy"),
    N_("the database stops writes"),
    N_("the new site is not public yet"),
    N_("only commit moves traffic"),
    N_("the mover holds the fence"),
    N_("the mover makes the backup"),
    N_("the mover freezes the source"),
    N_("the mover proves the databases"),
    N_("the mover brings back the databases"),
    N_("the mover reaches both servers"),
    N_("the mover moves the databases"),
)
RESULTS = (
    N_("{databases} databases with {tables} tables in {bytes} bytes of backup: {reason}"),
    N_("dumped"),
    N_("the earlier backup is intact"),
    N_("{databases} databases looked at: {count} findings stand in the way, {left} more are to be known"),
    N_("{count} things were looked at, {left} must be corrected"),
    N_("{count} of {total} checks passed"),
    N_("release {name} is staged, active and healthy"),
    N_("release {name} is staged, active and healthy, its schema moved"),
    N_("release {name} is staged and active"),
    N_("the image is on this host and has the pinned digest"),
    N_("{count} of {total} variables are as in the live environment file"),
    N_("{what} is public with release {name}"),
    N_("release {name} is staged and healthy beside the live one"),
    N_("release {name} is staged and healthy beside the live one, its schema moved"),
    N_("{what} took the release in turn, out of rotation"),
    N_("{what} still answers requests of before after {seconds} s and was left running: stop it when it is idle"),
    N_("nothing of release {name} is left"),
    N_("what ran before runs again"),
    N_("no back end ran here before"),
    N_("Release rolled_back: {name} is rolled back to nothing."),
    N_("Release rolled_back: {name} is rolled back to releases/{before}."),
    N_("Release rolled_back: {name} is not active and does not exist."),
    N_("the public address answers with the new site"),
    N_("the public address answers with the old site"),
    N_("{databases} databases are equal: {tables} tables, {rows} rows, {explained} differences explained."),
    N_("Nothing was created on the target."),
    N_("{count} objects that the restore had made were removed from the target"),
    N_("{count} objects that drills had left were removed"),
    N_("The source is frozen and fenced ({count} databases)."),
    N_("The source is frozen already ({count} databases)."),
    N_("The source is open, all captured is as before ({count} databases)."),
    N_("The source is open already ({count} databases)."),
    N_("Nothing was written since the freeze ({count} databases)."),
    N_("The fence moved, but no row was written ({count} databases)."),
    N_("{done} of {total} addresses answered as expected"),
    N_("the pages of the old site are measured"),
    N_("copy of {name}: {files} files, {bytes} bytes, copied and read again from the disk"),
    N_("copy of {name}: {files} files, {bytes} bytes, copied and read again from the disk."),
    N_("copy of {name}: {files} files, {bytes} bytes, reused, its source and itself read again"),
    N_("copy of {name}: {files} files, {bytes} bytes, reused, its source and itself read again."),
)
OBSERVED = (
    N_("second copy of {name}: on the same file system as the first"),
    N_("second copy of {name}: on another file system, read again from there"),
    N_("{stack}: manifest of {files} files, every table digested"),
    N_("{stack}: manifest of {files} files, every table digested, encrypted for {count} recipients"),
    N_("{stack}: restored in {seconds} s on a throw-away server of version {version} and compared ({tables} tables, {rows} rows)"),
    N_("{stack}: restored in {seconds} s under scratch names on the target and compared ({tables} tables, {rows} rows)"),
    N_("{stack}: a drill of the same plan passed on {day}: restored in {seconds} s on a throw-away server of version {version} and "
       "compared ({tables} tables, {rows} rows)"),
    N_("{stack}: a drill of the same plan passed on {day}: restored in {seconds} s under scratch names on the target and compared "
       "({tables} tables, {rows} rows)"),
    N_(
        "{reader} logged in to {source} and holds the right to read {tables} relations; {maker} logged in to {target} and created a "
        "role in a transaction that was rolled back"
    ),
    N_("a login lacks privileges, see the findings"),
)
NOT_PROVED = (
    N_("frontend_test_command is not set: no test of the front end was run"),
    N_("frontend_e2e_command is not set: no end-to-end test was run"),
    N_("frontend_pages is not set: accessibility, search engine basics and weight of the pages were not measured"),
    N_("frontend_lighthouse_pages is not set: Lighthouse measured nothing"),
    N_("frontend_source_url is not set: the pages were not compared with those of the old site"),
    N_("accessibility: axe-core looks at {covered} of the {total} criteria of the RGAA, a person must look at all of them"),
    N_("password hashes are not in the backup: the login may not read pg_authid"),
    N_("password hashes of roles: a login may not read them"),
    N_("definitions of objects in database {name}: a backup holds no catalog to compare with"),
    N_("rows of materialized view {view} in database {name}: they are made again on the target"),
    N_("login of role {role}: no password was given"),
    N_("whether any single value is too large to be dumped"),
    N_("that the backup can be restored"),
    N_("free disk space of the target server"),
    N_("{path} does not exist: its errors were not searched"),
    N_("that the container starts with the machine: without systemd nothing here starts it"),
    N_("restore drill: its time is that of a server on the mover without fsync, not of the target"),
    N_("restore drill: user namespaces are off on this host, so the throw-away server could have reached the network"),
    N_("restore drill: the locale {name} for amounts of money is not installed on this host"),
    N_("restore drill: roles and settings that the target already had were not restored"),
    N_("restore drill: its time includes what else the target was doing"),
)
# What a restore left behind, and what preflight says of it beforehand.
NOT_CARRIED = (
    N_("role {role}, which belongs to the service"),
    N_("role {role}: {other} takes its place"),
    N_("membership of {role} in {other}, which {user} may not grant"),
    N_("setting {setting} of role {role}, which {user} may not set"),
    N_("setting {setting} in database {name}, which {user} may not set"),
    N_("setting {setting} of role {role} in database {name}, which {user} may not set"),
    N_("changed privileges on {count} {what} objects of the system in database {name}"),
    N_("{what}, left out by choice"),
    N_("password of role {role}: to be set anew, until then it cannot log in with one"),
)
FAILURES = (
    N_("the task failed; its output is on the screen of the run only"),
    N_("the host became unreachable"),
    N_("{text}. {what} is public again"),
    N_("{name} still has sessions after {seconds} s ({count} sessions, {what}): wait for them, or allow more time, it takes "
       "sessions again"),
    N_("{name} does not come up after {seconds} s ({count} sessions, {what}): look at its health check in HAProxy's configuration"),
    N_("no other server than {name} takes sessions: bring another one into service first, users would have nobody"),
    N_("a task could not be loaded; the cause is on the screen of the run only"),
    N_("the run ended without saying so; closed by the next run"),
    N_("The maintenance window ends at {time}, before this migration would: it is undone. To migrate outside of the window, set "
       "migration_on_overrun to go_on."),
)
# Findings of proofs, then failures of the tools, then what an operator can do.
MISMATCHES = (
    N_("{count} differences between source and target: {text}"),
    N_("and {count} more"),
    N_("{page}: {rule} ({impact}), {before} before and {after} now"),
    N_("{page}: {name} dropped from {before} to {after}, {count} points are allowed"),
    N_("{page}: {name} is {after}, at least {count} is wanted"),
    N_("{page}: {count} bytes, {total} are allowed"),
    N_("{page}: {count} requests, {total} are allowed"),
    N_("{page}: {count} bytes, {before} on the old site, {left} percent more are allowed"),
    N_("{count} violations, {total} are allowed"),
    N_("database {name}: {object} is missing on the target"),
    N_("database {name}: {object} is on the target only"),
    N_("database {name}: {object} differs in {what}"),
    N_("role {name} is missing on the target"),
    N_("role {name} is on the target only"),
    N_("role {name} differs in {what}"),
    N_("{endpoint} was written to after the freeze: {text}"),
    N_("the transaction number went from {before} to {after}"),
    N_("sequence {name} of database {database} was used"),
    N_("the source is open again, but {count} things are not as before the freeze: {what}"),
    N_("The source is no longer frozen, although the journal says so."),
    N_("the freeze lasted longer than it may, and the source was opened again: roll back and try again, with a longer limit or "
       "less to move"),
)
TOOLS = (
    N_("no connection to database {name} on {endpoint}: {reason}"),
    N_("the password of user {name} was refused"),
    N_("the server's pg_hba.conf admits no connection of user {name} from here"),
    N_("no trusted TLS connection could be made (sslmode {mode})"),
    N_("the database does not exist"),
    N_("the server accepts no connection now (starting, stopping, or no slot left)"),
    N_("nothing answers there"),
    N_("{program} of {subject} failed with exit status {status} at {entry}; what it printed is in {log}"),
    N_("{program} failed with exit status {status} ({text}); what it printed is in {log}"),
    N_("{tool} ended with status 0 but left {count} changes pending: {text}; what it printed is in {log}"),
    N_("{tool} touched tables that were not named: {text}. If that is right, name them in expected_changes (postgresql_schema_changes)"),
    N_("SQL file {name} failed (psql ended with {status}) and was undone; what was printed is in {log}"),
    N_("the SQL files do not fit the database: {text}"),
    N_("the database has {count} changes that are not in the changelog: {text}"),
    N_("Flyway's history does not fit the files: {text}"),
    N_("{program} of {subject} failed with exit status {status}; what it printed is in {log}"),
    N_("{program} failed with exit status {status}, its output is in {log}"),
    N_("{program} failed with exit status {status}"),
    N_("{program} did not end within {seconds} s and was stopped"),
    N_("the program {name} was not found in {place}: install it, or say where it is"),
    N_("the backup {name} is damaged, nothing was restored: {what}"),
    N_("database {name} exists on the target and holds {count} objects: remove or rename it, or choose another target"),
    N_("the target refused: {what}"),
    N_("the source changed while it was copied ({path}): stop what writes there, or exclude it"),
    N_("the copy could not be written to the disk: {what}"),
    N_("{name}: exit status {status}, {count} tests failed"),
    N_("{name}: exit status {status}"),
    N_("{url}: it answered {status}, expected {wanted}"),
    N_("{url}: the expected text is not in its body"),
    N_("the process is not in service: {reason}"),
    N_("it ended at once"),
    N_("it ended before it was healthy"),
    N_("{url} was not healthy within {seconds} s: {what}"),
    N_("{operation} of run {run} still works (pid {pid})"),
)
REMEDIES = (
    N_("read {log} on this host, correct the pages and run again"),
    N_("read {log} on this host, correct the release and run again"),
    N_("read {log} on this host, correct the release or its environment and run again"),
    N_("look in the log of the application that serves this address"),
    N_("check which site answers at this address"),
)
NAMES = (
    N_("restore drill"),
    N_("login as application roles"),
    N_("errors in {path}"),
    N_("{stack} tests"),
    N_("rows of {name}"),
    N_("capture"),
    N_("quality of the pages"),
    N_("scores of Lighthouse"),
)
SENTENCES: tuple[str, ...] = (
    TEXTS + NOTHING_TO_DO + RESULTS + OBSERVED + NOT_PROVED + NOT_CARRIED + FAILURES + MISMATCHES + TOOLS + REMEDIES + FINDINGS
)
