# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Keep what Ansible compiles templates to: each task is a process of its own and compiles those of all variables that it reads.

That is an eighth of what a migration takes of the processors. ``dev/setup.py`` puts this into ``.venv`` beside ``keep_compiled``,
whose directory it shares. It is no part of the collection. What is kept is found by the whole template and by all that its code
depends on; values that a template is filled with are no part of it.
"""

from __future__ import annotations

import marshal
import sys

import keep_compiled
import keep_imports

TYPE_CHECKING = False
if TYPE_CHECKING:  # every start of Python pays for what is imported here
    from typing import Any

ENVIRONMENT = "ansible._internal._templating._jinja_bits"


def compile_kept(bits: Any, compile_template: Any) -> Any:
    """``compile_template`` of Ansible's environment (template and options to code), which is spared what was compiled before."""
    import ansible
    import jinja2

    versions = (sys.version, ansible.__version__, jinja2.__version__)

    def compile_once(self: Any, source: Any, name: Any = None, filename: Any = None, **options: Any) -> Any:
        if not isinstance(source, str) or name or filename or options or self._debuggable_template_source:
            return compile_template(self, source, name, filename, **options)
        compiling = bits._TemplateCompileContext.current(optional=True)
        settings = [getattr(self, field) for field in bits._TEMPLATE_OVERRIDE_FIELD_NAMES]
        words = (versions, type(self).__qualname__, sorted(self.extensions), settings, compiling and compiling.escape_backslashes,
                 bits._TemplateConfig.allow_embedded_templates, str(source))
        path = keep_compiled.kept_for(repr(words).encode("utf-8", "surrogatepass")) + "-template"
        try:
            with open(path, "rb") as stream:
                return marshal.load(stream)
        except (OSError, EOFError, ValueError, TypeError):
            code = compile_template(self, source, name, filename)
            keep_compiled.keep(path, marshal.dumps(code))
        return code

    return compile_once


def spare_compiling(bits: Any) -> None:
    """Replace how the environment of ``bits`` compiles."""
    bits.AnsibleEnvironment.compile = compile_kept(bits, bits.AnsibleEnvironment.compile)


sys.meta_path.insert(0, keep_imports.Watch(ENVIRONMENT, spare_compiling))
