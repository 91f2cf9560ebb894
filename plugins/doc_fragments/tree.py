# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Options that the modules for trees share."""

from __future__ import annotations


class ModuleDocFragment:
    """Documentation only."""

    DOCUMENTATION = r"""
options: {}
attributes:
  check_mode:
    support: full
    description: Can run in C(check_mode) and return the plan without changing anything.
  diff_mode:
    support: full
    description: Returns a summary of the tree before and after, counts and the first names, never thousands of paths.
"""

    SOURCE = r"""
options:
  exclude:
    description:
      - Names to leave out, as shell patterns. A pattern without C(/) is matched against names at any depth,
        another against the path relative to the root of the tree; C(*) matches C(/) too.
      - Nothing below an excluded directory is read.
    type: list
    elements: str
    default: []
  source_host:
    description:
      - Pull the tree from this host over SSH instead of reading it from a local directory.
      - The key must be restricted to a forced command that sends the tree, as M(dihya.migration.pull_access) writes it.
        Absolute paths, C(..) and links that lead outside the tree are refused.
    type: dict
    suboptions:
      host:
        description: Name or address to connect to.
        type: str
        required: true
      user:
        description: User to connect as.
        type: str
        required: true
      port:
        description: TCP port.
        type: int
        default: 22
      identity:
        description: Path, on the receiving host, of the private key.
        type: path
        required: true
      known_hosts:
        description: Path, on the receiving host, of a file with the pinned host key.
        type: path
        required: true
      outside_links:
        description:
          - Accept symbolic links that lead outside the tree (a virtual environment has some, a live site a link to its uploads); they are
            recreated, never followed.
        type: bool
        default: false
"""
