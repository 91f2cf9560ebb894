# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Enables callback dihya.migration.migration_report for the playbooks beside this directory, without any setting."""

from __future__ import annotations

DOCUMENTATION = r"""
name: migration_report
type: aggregate
short_description: Keep a run log of a migration, tell how it ended, and report a run that died
version_added: 0.1.0
author: Dihya Migration contributors (@dihya)
description:
  - See P(dihya.migration.migration_report#callback). Ansible loads callbacks of a collection only when a setting names them, but
    those beside a playbook always.
"""

from ansible_collections.dihya.migration.plugins.callback.migration_report import CallbackModule as Recorder


class CallbackModule(Recorder):
    """The collection's callback under the name of this file."""

    CALLBACK_NAME = "migration_report"
