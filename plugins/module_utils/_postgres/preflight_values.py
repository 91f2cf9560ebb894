# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What stands against values of one database: pure, as :mod:`preflight`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ansible_collections.dihya.migration.plugins.module_utils._finding import Finding, finding
from ansible_collections.dihya.migration.plugins.module_utils._postgres.preflight_read import SOURCE, TARGET, good
from ansible_collections.dihya.migration.plugins.module_utils._postgres.wording import names, plain


def types(facts: dict[str, Any]) -> Iterator[Finding]:
    """Columns whose values the target reads otherwise, or not at all."""
    one, other = (facts[side]["server"]["settings"].get("lc_monetary") for side in ("source", "target"))
    for name, content in good(facts).items():
        held = content["types"]
        if held.get("xml") and not facts["target"]["xml"]:
            yield finding(TARGET, f"database {name} has xml columns, the target was built without XML", "install a build with libxml")
        if held.get("money") and plain(one or "") != plain(other or ""):
            yield finding(TARGET, f"database {name} has money columns and lc_monetary differs: amounts would change",
                          "set the source's lc_monetary on the target")
        bound = sorted(set(held) - {"xml", "money"})
        if bound:
            yield finding(SOURCE, f"database {name} has columns of type {names(bound)}, which point into the old server",
                          "see whether the application still needs the values", False)


def calls(facts: dict[str, Any]) -> Iterator[Finding]:
    """What a restore computes by functions of the database: with no search path, and while other tables are still empty."""
    for name, content in good(facts).items():
        if content["callers"]:
            yield finding(SOURCE, f"the restore of database {name} calls functions of its own for {names(content['callers'])}",
                          "see that they name the schema of all they use and read no other table, else the restore fails; the drill "
                          "shows it before the freeze", False)
