# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A small static site in four languages with nothing to complain of, and a server for it, over TLS of an authority of its own."""

from __future__ import annotations

import functools
import http.server
import pathlib
import ssl
import threading

TEXTS = {
    "fr": ("Bibliothèque", "Bienvenue dans la bibliothèque."), "en": ("Library", "Welcome to the library."),
    "ar": ("مكتبة", "مرحبا بكم في المكتبة."), "tzm": ("ⵜⴰⵙⴷⵍⵉⵙⵜ", "ⴰⵏⵙⵓⴼ ⵖⵔ ⵜⵙⴷⵍⵉⵙⵜ."),
}
PUBLIC = "https://library.example"
PAGE = """<!doctype html>
<html lang="{language}" dir="{direction}">
<head><meta charset="utf-8"><title>{title}</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="description" content="{text}">
<link rel="canonical" href="{public}/{language}/">
{alternates}
</head>
<body><main><h1>{title}</h1><p style="color: #222; background: #fff">{text}</p><img src="/book.svg" alt="{title}" width="9" height="9">
</main></body>
</html>
"""
DRAWING = '<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><path d="M0 0h9v9H0z"/></svg>'


def write_site(root: pathlib.Path) -> pathlib.Path:
    """Write the site to ``root``: ``index.html``, a page for each language, robots.txt and sitemap.xml."""
    alternates = "\n".join(f'<link rel="alternate" hreflang="{one}" href="{PUBLIC}/{one}/">' for one in TEXTS)
    for language, (title, text) in TEXTS.items():
        page = PAGE.format(language=language, direction="rtl" if language == "ar" else "ltr", title=title, text=text, public=PUBLIC,
                           alternates=alternates)
        (root / language).mkdir(parents=True)
        (root / language / "index.html").write_text(page, encoding="utf-8")
    (root / "index.html").write_text((root / "fr" / "index.html").read_text(encoding="utf-8"), encoding="utf-8")
    (root / "book.svg").write_text(DRAWING, encoding="ascii")
    (root / "robots.txt").write_text(f"User-agent: *\nDisallow: /private\nSitemap: {PUBLIC}/sitemap.xml\n", encoding="ascii")
    listed = "".join(f"<url><loc>{PUBLIC}/{one}/</loc></url>" for one in TEXTS)
    (root / "sitemap.xml").write_text(f'<urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">{listed}</urlset>', encoding="ascii")
    return root


def edit(root: pathlib.Path, page: str, old: str, new: str) -> None:
    """Replace ``old``, which must be there, in a file of a site."""
    text = (root / page).read_text(encoding="utf-8")
    assert old in text
    (root / page).write_text(text.replace(old, new), encoding="utf-8")


class Handler(http.server.SimpleHTTPRequestHandler):
    """Serves a directory and says nothing."""

    def log_message(self, *args) -> None:
        """Silent."""


class Server:
    """Serves ``root``, which may be made later, on a free port of loopback; ``url`` is its address."""

    def __init__(self, root: pathlib.Path, pair: tuple[pathlib.Path, pathlib.Path]) -> None:
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=str(root)))
        self._server.handle_error = lambda *args: None  # type: ignore[method-assign]  # a browser that leaves is no error
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*pair)
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self.url = f"https://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def stop(self) -> None:
        """Listen no longer."""
        self._server.shutdown()
        self._server.server_close()
