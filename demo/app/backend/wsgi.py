# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What gunicorn serves."""

from __future__ import annotations

from dihya_demo import create_app

app = create_app()
