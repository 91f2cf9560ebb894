# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Action plugins of long modules: live progress, one worker, and nothing left behind.

The module runs in Ansible's async wrapper, so it goes on when the controller dies; a later run finds its lease held,
waits for it and then runs the module again, which finds the work done. A subclass only names its module and label.
"""

from __future__ import annotations

import datetime
import json
import re
import shlex
import sys
import time
from collections.abc import Mapping
from typing import Any

from ansible.errors import AnsibleConnectionFailure
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display
from ansible_collections.dihya.migration.plugins.module_utils._checklist.times import parse
from ansible_collections.dihya.migration.plugins.plugin_utils.progress_line import Watch, step_of_verb

LONGEST = 30 * 24 * 3600
"""Seconds until the async wrapper would end a module: longer than any migration."""
EVERY = 10.0
"""Seconds between two lines of progress."""
RECONNECT = 120.0
"""Seconds for which a lost connection is tried again: the module itself goes on meanwhile."""
LOOK_FOR_WORKER = 5.0
"""Seconds between two looks whether the worker of an unfinished job still exists."""
TRY_AGAIN = 30.0
"""Seconds after which the lease of another worker is tried even when its process seems alive (its number may be reused)."""

NO_PASSWORD = "{} takes no password, only a passfile: the options of a long module stay on its host when the run dies"
OVERRUN = ("The maintenance window ends at {}, before this migration would: it is undone. To migrate outside of the window, "
           "set migration_on_overrun to go_on.")
ENDED = "{} was ended from outside before it had a result (it crashed, was killed, or its host was restarted)"

# Removes job files of runs that died, those without a wrapper; six seconds are for one whose controller is just reading it.
# The brackets keep grep from finding itself.
FORGET = (
    "find {} -name 'j*' -type f -mmin +0.1 2>/dev/null | while read -r f; do n=${{f##*/}}; n=${{n%.*}}; "
    'grep -qas "${{n%?}}[${{n#"${{n%?}}"}}]" /proc/[0-9]*/cmdline || rm -f "$f"; done'
)
# Removes those of the job files {} that hold a result; their wrappers live on for some seconds.
FORGET_RESULTS = "printf %s {} | while read -r f; do grep -qs '\"finished\": *\\(false\\|0\\)' \"$f\" || rm -f \"$f\"; done"

# Shows on its host that the run goes on: the timer of a freeze there waits for that.
ALIVE = "umask 077; true 2>/dev/null >{}; "

# What the async wrapper (of ansible-core 2.19) writes while the module runs.
RUNNING = re.compile(r'\{"started": (true|1), "finished": (false|0), "ansible_job_id": "[^"]*"\}')
BOOKKEEPING = ("ansible_job_id", "started", "finished", "results_file")

OF_TRANSACTION = ("migration_work_dir", "migration_run_id", "migration_stack", "migration_verb", "migration_frozen_since",
                  "migration_progress", "migration_deadline")

display = Display()


def show_lines_at_once() -> None:
    """Let standard output go on with every line, also where it is a file or a pipe: there it is held back until the next worker starts.

    The lines of a worker are printed by the controller, which imports this module before it starts the worker.
    """
    reconfigure = getattr(sys.stdout, "reconfigure", None)
    if reconfigure is not None:
        reconfigure(line_buffering=True)


show_lines_at_once()


class WindowIsOver(Exception):
    """The time is over that a step which can be undone may take."""


class LongAction(ActionBase):
    """Runs ``MODULE`` and shows how far it is; ``LABEL`` begins every line when no stack is known."""

    MODULE = ""
    LABEL = ""
    _supports_check_mode = True
    _supports_async = True

    def run(self, tmp: Any = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return the module's own result."""
        variables = self._resolved(task_vars or {})
        result = super().run(tmp, variables)
        args = self._with_defaults(dict(self._task.args), variables)
        if has_password(args) and self._takes_long(args) and not self._task.check_mode:
            return dict(result, failed=True, msg=NO_PASSWORD.format(self.MODULE))
        if self._task.check_mode or self._task.async_val or self._connection.has_native_async or self._connection.always_pipeline_modules:
            wrap = bool(self._task.async_val) and not self._connection.has_native_async
            return dict(result, **self._execute_module(module_name=self.MODULE, module_args=args, task_vars=variables, wrap_async=wrap))
        label = str(variables.get("migration_stack") or self.LABEL)
        step = step_of_verb(variables.get("migration_verb"))
        self._watch = Watch(f"{step}{label} {variables.get('inventory_hostname', '')}".strip(), variables.get("migration_frozen_since"))
        self._shown = time.monotonic() if _enabled(variables) else float("inf")
        self._async_dir = self._directory_of_jobs(variables)
        work_dir = variables.get("migration_work_dir")
        self._alive = ALIVE.format(shlex.quote(f"{work_dir}/workers/run.alive")) if work_dir else ""
        self._deadline = parse(variables.get("migration_deadline"))
        try:
            return dict(result, **self._run_alone(args, variables))
        except WindowIsOver:
            return dict(result, failed=True, msg=OVERRUN.format(variables["migration_deadline"]))

    def _run_alone(self, args: dict[str, Any], variables: dict[str, Any]) -> dict[str, Any]:
        """The module's result, once the worker of an earlier run that may still live has ended."""
        orphans = ""
        while True:
            outcome = (self._run_watched if self._takes_long(args) else self._run_plainly)(args, variables)
            holder = outcome.get("lease_holder")
            if not (outcome.get("failed") and holder and args.get("lease_file")):
                if orphans:
                    self._sh(FORGET_RESULTS.format(shlex.quote(orphans)))
                return outcome
            orphans = self._sh(f"find {shlex.quote(self._async_dir)} -name 'j*' -type f 2>/dev/null")  # nobody waits for their results
            self._wait_for(holder, args, variables)

    def _takes_long(self, args: Mapping[str, Any]) -> bool:
        """Whether the module runs as a worker that outlives its controller and shows its progress, or plainly and holds its lease only."""
        return True

    def _resolved(self, variables: dict[str, Any]) -> dict[str, Any]:
        """``variables`` with those of the transaction that are read here templated: an inventory may compose them."""
        return {**variables, **{name: self._templar.template(variables[name]) for name in OF_TRANSACTION if name in variables}}

    def _with_defaults(self, args: dict[str, Any], variables: Mapping[str, Any]) -> dict[str, Any]:
        """``args`` with the transaction's files and run; nothing is added outside of a transaction."""
        work_dir, run_id = variables.get("migration_work_dir"), variables.get("migration_run_id")
        if not work_dir or not run_id:
            return args
        # Not below migration_run_dir: that is removed by the next run, which must find this worker.
        stem = f"{work_dir}/workers/{self.MODULE.rpartition('.')[2]}-{variables.get('inventory_hostname', 'host')}"
        defaults = {"lease_file": f"{stem}.lease", "run_id": str(run_id)}
        if self._takes_long(args):
            defaults["progress_file"] = f"{stem}.progress"
        return {**defaults, **{key: value for key, value in args.items() if value is not None or key not in defaults}}

    def _directory_of_jobs(self, variables: Mapping[str, Any]) -> str:
        """Where the async wrapper keeps what it knows of a worker."""
        work_dir = variables.get("migration_work_dir")
        return f"{work_dir}/async" if work_dir else self._remote_expand_user(self.get_shell_option("async_dir", default="~/.ansible_async"))

    def _make_directories(self, args: Mapping[str, Any], variables: Mapping[str, Any]) -> None:
        """Make the directories of job, lease and progress files with mode 0700."""
        named = (str(args[name]).rpartition("/")[0] for name in ("progress_file", "lease_file") if args.get(name))
        make = "umask 077; mkdir -p " + " ".join(shlex.quote(path) for path in sorted({self._async_dir, *named}) if path)
        self._sh(f"{make}; {FORGET.format(shlex.quote(self._async_dir))}" if variables.get("migration_work_dir") else make)

    def _run_plainly(self, args: dict[str, Any], variables: dict[str, Any]) -> dict[str, Any]:
        """Run the module as any other."""
        return dict(self._execute_module(module_name=self.MODULE, module_args=args, task_vars=variables))

    def _run_watched(self, args: dict[str, Any], variables: dict[str, Any]) -> dict[str, Any]:
        """Start the module, show its progress until it ends, remove what the wrapper left, return its result."""
        self._make_directories(args, variables)
        tmp_path = self._make_tmp_path()
        before = self.get_shell_option("async_dir", default="~/.ansible_async")
        self._connection._shell.set_option("async_dir", self._async_dir)
        self._task.async_val = LONGEST
        try:
            job = self._execute_module(module_name=self.MODULE, module_args=args, task_vars=variables, wrap_async=True)
        finally:
            self._task.async_val = 0  # else the strategy takes this task for an async one and polls it
            self._connection._shell.set_option("async_dir", before)
        job_id = job.get("ansible_job_id")
        if job.get("failed") or not job_id:
            return job
        try:
            outcome = self._result_of(str(job_id)) if self._follow(str(job_id), args, variables) else {}
        except WindowIsOver:
            self._clean(str(job_id), args, tmp_path)
            raise
        if not outcome or (outcome.get("failed") and {"cmd", "data"} <= set(outcome)):
            # The wrapper's words for a module that was killed or crashed: its output may carry anything.
            told = {"exception": outcome["stderr"]} if outcome.get("stderr") else {}
            outcome = {"failed": True, "msg": ENDED.format(self.MODULE), **told}
        self._clean(str(job_id), args, tmp_path)
        return {key: value for key, value in outcome.items() if key not in BOOKKEEPING}

    def _result_of(self, job_id: str) -> dict[str, Any]:
        """What the module printed, decoded as this ansible-core decodes it; async_status would start a module to print it again."""
        printed = {"stdout": self._sh(f"cat {shlex.quote(f'{self._async_dir}/{job_id}')}"), "stderr": "", "rc": 0}
        # The profile of every module that says nothing else.
        return dict(self._parse_returned_data(printed, "legacy"))

    def _stop_in_time(self, variables: dict[str, Any]) -> None:
        """End the worker when the maintenance window is over; what cannot be ended is for the rollback to tell, which tries it again."""
        if self._deadline and datetime.datetime.now(datetime.timezone.utc) >= self._deadline:
            arguments = {"work_dir": variables["migration_work_dir"], "operations": [self.MODULE.rpartition(".")[2]]}
            self._execute_module(module_name="dihya.migration.end_workers", module_args=arguments, task_vars=variables)
            raise WindowIsOver

    def _follow(self, job_id: str, args: Mapping[str, Any], variables: dict[str, Any]) -> bool:
        """Wait for the end of a job; False when its worker vanished without a result."""
        job = f"{self._async_dir}/{job_id}"
        began = looked = time.monotonic()
        while True:
            # Short operations must not pay for the long ones: a tenth of what it took so far is lost at most.
            time.sleep(min(1.5, max(0.1, (time.monotonic() - began) / 10)))
            progress, state = self._peek(args.get("progress_file"), f"head -c 200 {shlex.quote(job)}")
            if state and not RUNNING.match(state.strip()):
                return True
            self._show(progress)
            self._stop_in_time(variables)
            if time.monotonic() - looked >= LOOK_FOR_WORKER:
                looked = time.monotonic()
                if not self._worker_exists(job_id):
                    _progress, state = self._peek(None, f"head -c 200 {shlex.quote(job)}")
                    return bool(state) and not RUNNING.match(state.strip())

    def _worker_exists(self, job_id: str) -> bool:
        """Whether the wrapper of a job runs: its first argument is the job's name without the last part."""
        name = job_id.rpartition(".")[0]
        pattern = f"{name[:-1]}[{name[-1]}]"  # does not match the command line that looks for it
        return "yes" in self._sh(f"grep -qas {shlex.quote(pattern)} /proc/[0-9]*/cmdline && echo yes")

    def _wait_for(self, holder: Mapping[str, Any], args: Mapping[str, Any], variables: dict[str, Any]) -> None:
        """Show the progress of another run's worker until it ends or it is time to try again."""
        if self._shown != float("inf"):
            worker = f"run {holder.get('run_id', 'unknown')} (pid {holder.get('pid', 'unknown')})"
            display.display(f"{self._watch.name}: attached to the living worker of {worker}")
        alive = f"test -d /proc/{int(holder.get('pid') or 0)} && cat {shlex.quote(str(args['lease_file']))}"
        begun = time.monotonic()
        while time.monotonic() - begun < TRY_AGAIN:
            time.sleep(1.0)
            progress, state = self._peek(args.get("progress_file"), alive)
            if not state.strip():
                return
            self._show(progress)
            self._stop_in_time(variables)

    def _peek(self, progress_file: Any, command: str) -> tuple[Any, str]:
        """The progress (None when there is none) and the output of ``command``, in one round trip."""
        read = f"cat {shlex.quote(str(progress_file))} 2>/dev/null; " if progress_file else ""
        first, _mark, second = self._sh(f"{self._alive}{read}echo; echo ==; {command} 2>/dev/null").partition("\n==\n")
        try:
            return json.loads(first), second
        except ValueError:
            return None, second

    def _show(self, progress: Any) -> None:
        self._watch.see(progress)
        if time.monotonic() - self._shown >= EVERY:
            self._shown = time.monotonic()
            display.display(self._watch.line())

    def _sh(self, command: str) -> str:
        """Output of a short shell command on the host; a lost connection is tried again for a while."""
        lost: float | None = None
        while True:
            try:
                # Over ssh the command gets a terminal, which ends lines with CR LF.
                return self._low_level_execute_command(command, sudoable=True).get("stdout", "").replace("\r\n", "\n")
            except AnsibleConnectionFailure:
                lost = lost or time.monotonic()
                if time.monotonic() - lost > RECONNECT:
                    raise
                time.sleep(5)

    def _clean(self, job_id: str, args: Mapping[str, Any], tmp_path: str) -> None:
        """Remove job file, progress and payload; the lease file stays, another run may be about to lock it."""
        files = [f"{self._async_dir}/{job_id}", f"{self._async_dir}/{job_id}.tmp"]
        files += [str(args["progress_file"])] if args.get("progress_file") else []
        self._sh("rm -f " + " ".join(shlex.quote(path) for path in files))
        self._remove_tmp_path(tmp_path, force=True)


def has_password(value: Any) -> bool:
    """Whether a password stands anywhere in ``value``."""
    if isinstance(value, Mapping):
        return any((key == "password" and bool(item)) or has_password(item) for key, item in value.items())
    return isinstance(value, (list, tuple)) and any(has_password(item) for item in value)


def _enabled(variables: Mapping[str, Any]) -> bool:
    value = variables.get("migration_progress", True)
    return value.lower() not in ("false", "no", "off", "0") if isinstance(value, str) else bool(value)
