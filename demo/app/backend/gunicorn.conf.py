# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Two processes with four threads each; an answer that is being written is finished before a process ends."""

from __future__ import annotations

workers = 2
threads = 4
graceful_timeout = 10
preload_app = True  # imported once for both; no connection is made before they part
worker_tmp_dir = "/dev/shm"
control_socket_disable = True
