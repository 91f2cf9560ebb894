# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""cache_headers against real servers: with the configurations that the guide shows, and against a server that says nothing."""

from __future__ import annotations

import contextlib
import pathlib
import re
import socket
import subprocess
import sys
import urllib.error
import urllib.request

import pytest

from tests.support.needs import require_program
from tests.support.playbook import ROOT

CADDY = str(pathlib.Path(sys.executable).parent / "caddy")
GUIDE = (ROOT / "docs" / "frontend.md").read_text(encoding="utf-8")
NGINX = "user root; daemon off; pid {root}/pid; events {{}}\nhttp {{ include /etc/nginx/mime.types; access_log off; {server} }}\n"


def configured(kind: str, site: pathlib.Path, port: int) -> str:
    """The guide's configuration for this site."""
    shown = re.search(rf"```{kind}\n(.*?)```", GUIDE, re.S)
    assert shown
    port_of = {"nginx": ("listen 80", f"listen 127.0.0.1:{port}"), "caddy": (":80 {", f"http://127.0.0.1:{port} {{")}[kind]
    text = shown.group(1).replace("/srv/site/current", str(site)).replace(*port_of)
    return NGINX.format(root=site.parent, server=text) if kind == "nginx" else "{\n admin off\n}\n" + text


@contextlib.contextmanager
def served(kind: str, site: pathlib.Path, port: int, eventually):
    """The site as the guide configures the server, or with nothing said."""
    config = site.parent / kind
    if kind == "plain":
        argv = [CADDY, "file-server", "--root", str(site), "--listen", f"127.0.0.1:{port}"]
    else:
        config.write_text(configured(kind, site, port))
        argv = {"nginx": [require_program("nginx"), "-e", "stderr", "-c", str(config)],
                "caddy": [CADDY, "run", "--adapter", "caddyfile", "--config", str(config)]}[kind]
    with (site.parent / f"{kind}.log").open("wb") as log, subprocess.Popen(argv, stdout=log, stderr=log) as process:
        try:
            assert eventually(lambda: socket.socket().connect_ex(("127.0.0.1", port)) == 0)
            yield f"http://127.0.0.1:{port}/"
        finally:
            process.terminate()


@pytest.fixture(name="site")
def fixture_site(tmp_path):
    """A page that loads a script with a digest in its name."""
    (tmp_path / "site" / "assets").mkdir(parents=True)
    (tmp_path / "site" / "index.html").write_text("<script src=/assets/app-4f2a91c0.js></script>")
    (tmp_path / "site" / "assets" / "app-4f2a91c0.js").write_text("let a")
    tmp_path.chmod(0o755)
    return tmp_path / "site"


@pytest.mark.parametrize("kind", ["nginx", "caddy"])
def test_servers_configured_as_the_guide_says_are_right_and_a_worse_one_is_refused(run_module, site, kind, free_port, eventually):
    before, after = (str(site.parent / "work" / f"{name}.json") for name in ("before", "after"))
    with served(kind, site, free_port(), eventually) as url:
        right = run_module("cache_headers", url=url, required=True, dest=before)
        assert not right["failed"] and right["page"]["right"] and [one["right"] for one in right["assets"]] == [True], right
        assert right["journal"]["not_proved"] == [] and right["journal"]["tests"][0]["passed"] == 2
        with pytest.raises(urllib.error.HTTPError) as missing:
            urllib.request.urlopen(f"{url}assets/gone-4f2a91c0.js", timeout=5)
        assert missing.value.code == 404 and "immutable" not in (missing.value.headers.get("Cache-Control") or "")
        (site / "assets" / "app-4f2a91c0.js").unlink()
        gone = run_module("cache_headers", url=url, dest=after)
        assert gone["failed"] and "it answered 404, and the page loads it" in gone["msg"]
        (site / "assets" / "app-4f2a91c0.js").write_text("let a")
    with served("plain", site, free_port(), eventually) as url:
        worse = run_module("cache_headers", url=url, baseline=before, dest=after)
        assert worse["failed"] and "no Cache-Control" in worse["msg"] and worse["journal"]["tests"][0]["failed"] == 2
        told = run_module("cache_headers", url=url, dest=after)
        assert not told["failed"] and len(told["journal"]["not_proved"]) == 2
        assert run_module("cache_headers", url=url, judge=False, dest=after)["journal"]["not_proved"] == []
    looked = run_module("cache_headers", True, url=url, dest=after, subject="frontend_source_url")
    assert not looked["failed"] and "nothing listens there" in looked["findings"][0]["finding"]
