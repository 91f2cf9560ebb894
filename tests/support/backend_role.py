# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The variables of the role backend, rendered without a run."""

from __future__ import annotations

import pathlib

from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar

ROLE = pathlib.Path(__file__).parents[2] / "roles" / "backend"
GIVEN = {
    "migration_id": "shop", "migration_site": "target", "inventory_hostname": "new", "ansible_check_mode": False,
    "backend_path": "/srv/shop", "backend_command": ["serve"], "backend_release_name": "r1",
    "groups": {"backend": ["new"], "target": ["new"], "source": [], "mover": ["m"]},
}


def role(**given) -> Templar:
    """The role's variables as a target host has them."""
    loader = DataLoader()
    files = [ROLE / "defaults" / "main.yml", *sorted((ROLE / "vars" / "main").glob("*.yml"))]
    variables: dict = {}
    for file in files:
        variables.update(loader.load_from_file(str(file), trusted_as_template=True))
    return Templar(loader, {**variables, **GIVEN, **given})


def ask(templar: Templar, name: str):
    """The value of a variable of the role."""
    return templar.resolve_variable_expression(name)
