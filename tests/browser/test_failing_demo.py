# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""``make demo-failure``: what fails before the commit point is undone and told, what fails behind it is told and left to people."""

from __future__ import annotations

import json
import re

from tests.browser.conftest import clean_demo, demo_environment, run_demo, traffic

FIGURE = r"^(?:demo: )?{name}\.{{3,}} (.+)$"


def test_both_failures_end_as_they_should_under_the_eyes_of_the_public_and_the_reports_say_so(tmp_path):
    ours = demo_environment(tmp_path)
    try:
        said = run_demo(ours, "failure", "-e", json.dumps({"demo_traffic": traffic(ours)}), status=1)
        assert "both migrations failed as they were meant to" in said and "BROKEN" not in said
        for name in ("reads failed", "acknowledged rows lost", "rows twice"):
            assert re.findall(FIGURE.format(name=name), said, re.M) == ["0", "0"], name
        told = {name: (tmp_path / "reports" / name / "report.md").read_text(encoding="utf-8").replace("\u00a0", " ")
                for name in ("demo-failure", "demo-after-commit")}
        assert all("- Statut final : KO" in text for text in told.values())
        causes = {name: re.findall("^- Problèmes rencontrés : Échec de l’étape (.+)$", text, re.M)[0] for name, text in told.items()}
        assert causes["demo-failure"].startswith("« vérification » (backend sur new_site) : backend tests : code de sortie 1, 1 test")
        assert causes["demo-after-commit"].startswith(
            f"« bascule » (traffic sur mover) : https://localhost:{ours['DEMO_PORT_BASE']}/ : le texte attendu n’est pas dans la réponse")
        assert "- Rollback effectué : Oui" in told["demo-failure"] and "- Rollback effectué : Non" in told["demo-after-commit"]
    finally:
        clean_demo(ours, tmp_path)
