# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Judgements on packages, indexes, settings and translations, from what the tools really print."""

from __future__ import annotations

import json

import pytest
from ansible_collections.dihya.migration.plugins.module_utils._errors import MigrationError
from ansible_collections.dihya.migration.plugins.module_utils._mobile import info, judge, reading, translations

BADGING = """package: name='org.example.shop' versionCode='7' versionName='1.4' platformBuildVersionName='10.0.0' compileSdkVersion='29'
sdkVersion:'21'
targetSdkVersion:'29'
uses-permission: name='android.permission.INTERNET'
uses-permission: name='android.permission.WRITE_EXTERNAL_STORAGE' maxSdkVersion='28'
uses-permission-sdk-23: name='android.permission.CAMERA'
application: label='' icon=''
"""
A, B = "a" * 64, "b" * 64
SIGNED = f"""Verifies
Verified using v1 scheme (JAR signing): true
Verified using v2 scheme (APK Signature Scheme v2): true
Verified using v4 scheme (APK Signature Scheme v4): false
Source Stamp Signer certificate SHA-256 digest: {B}
Signer #1 certificate DN: CN=test
Signer #1 certificate SHA-256 digest: {A}
Signer #1 public key SHA-256 digest: {B}
"""
PACKAGE = {"application": "org.example.shop", "version_code": 8, "certificates": [A], "permissions": ["INTERNET"], "sha256": A,
           "debuggable": False}
ROW = {"version_code": 8, "certificates": [A], "permissions": ["INTERNET"], "sha256": A}
OLD = {"version_code": 7, "certificates": [A], "permissions": ["INTERNET"], "sha256": B}
REPOSITORY = {"certificate": B, "versions": [ROW, OLD], "problems": []}


def words(findings) -> str:
    assert all(row["blocking"] and row["remedy"] for row in findings)
    return "; ".join(row["finding"] for row in findings)


def test_what_aapt_prints_is_read():
    facts = reading.badging(BADGING)
    assert facts == {
        "application": "org.example.shop", "version_code": 7, "version_name": "1.4", "min_sdk": 21, "target_sdk": 29, "debuggable": False,
        "permissions": ["android.permission." + name for name in ("CAMERA", "INTERNET", "WRITE_EXTERNAL_STORAGE")]}
    assert reading.badging(BADGING + "application-debuggable\n")["debuggable"] is True
    with pytest.raises(MigrationError):
        reading.badging("ERROR: dump failed because no AndroidManifest.xml found\n")


def test_a_source_stamp_is_no_signer():
    assert reading.signature(SIGNED) == {"schemes": ["v1", "v2"], "certificates": [A]}


def test_of_each_chain_of_a_jar_only_the_signer_counts():
    leaf, root = ":".join(["AB"] * 32), ":".join(["CD"] * 32)
    text = f"Signer #1:\n\nCertificate #1:\n\t SHA1: AA:BB\n\t SHA256: {leaf}\n\nCertificate #2:\n\t SHA256: {root}\n"
    assert reading.fingerprints(text) == ["ab" * 32]
    assert reading.fingerprints("Not a signed jar file\n") == []


def test_a_name_broken_over_lines_of_a_jar_manifest_is_one_name():
    assert reading.names_in_manifest("Name: index-v1.json\r\nSHA-256-Digest: x\r\n\r\nName: a/lo\r\n ng\r\n") == {"index-v1.json", "a/long"}


@pytest.mark.parametrize(("text", "version"), [
    ("name: shop\nversion: 1.8.0+8\n", ("1.8.0", 8)), ("version: '2.0.0-rc.1+21' # next\n", ("2.0.0-rc.1", 21)),
    ("version: 1.8.0\n", None), ("", None),
])
def test_the_version_of_a_project_is_read_before_it_is_built(text, version):
    assert reading.planned_version(text) == version


def test_an_update_by_the_same_signer_with_nothing_new_passes():
    assert not judge.identity("x", PACKAGE, "org.example.shop") + judge.certificate("x", PACKAGE, OLD) + judge.version("x", 8, OLD)
    assert not judge.permissions("x", PACKAGE, OLD, [])


def test_what_a_device_or_a_user_would_refuse_is_found():
    strange = {**PACKAGE, "certificates": [B], "permissions": ["CAMERA", "INTERNET", "SMS"], "debuggable": True}
    assert "is not the published one" in words(judge.certificate("x", strange, OLD))
    assert words(judge.permissions("x", strange, OLD, ["CAMERA"])) == "it asks for new permissions: SMS"
    assert "is not greater than the published 7" in words(judge.version("x", 7, OLD))
    assert "it is a debug build" in words(judge.identity("x", strange, ""))
    assert "its signature does not verify" in words(judge.identity("x", {**PACKAGE, "certificates": []}, ""))
    assert "it is org.example.shop, not org.example.other" in words(judge.identity("x", PACKAGE, "org.example.other"))


@pytest.mark.parametrize(("change", "told"), [
    ({"certificate": ""}, "its index is not signed"), ({"certificate": A}, "not signed with the key of the published repository"),
    ({"versions": [OLD]}, "does not list version code 8"), ({"versions": [{**ROW, "sha256": B}, OLD]}, "lists another package"),
    ({"versions": [{**ROW, "certificates": [B]}, OLD]}, "lists another package"),
    ({"problems": ["shop_8.apk is not the file"]}, "shop_8.apk"),
])
def test_an_index_must_be_signed_by_the_known_key_and_list_the_package(change, told):
    assert not judge.listed("x", PACKAGE, REPOSITORY, B)
    assert told in words(judge.listed("x", PACKAGE, {**REPOSITORY, **change}, B))


def test_versions_that_are_offered_now_stay():
    assert not judge.kept("x", REPOSITORY, [OLD])
    assert "no longer lists version code 5" in words(judge.kept("x", REPOSITORY, [OLD, {**OLD, "version_code": 5}]))


def test_a_damaged_published_repository_is_found():
    assert not judge.sound("x", REPOSITORY)
    assert words(judge.sound("x", {**REPOSITORY, "problems": ["the signature of entry.jar does not verify"]})).startswith("the signature")


@pytest.mark.parametrize(("message", "names"), [
    ("{count, plural, =0{Nothing} one{{count} book of {owner}} other{{count} books}}", {"count", "owner"}),
    ("{sex, select, male{his} female{her} other{their}} {thing}", {"sex", "thing"}),
    ("Due {when, date, ::yMMMd} for {who}", {"when", "who"}), ("C'est l'heure, {name}", {"name"}),
    ("no argument, {} or { 1 }", set()), ("", set()),
    ("unfinished {count, plural, other{a", {"count"}),
])
def test_placeholders_are_found_inside_plural_and_select(message, names):
    assert translations.placeholders(message) == names


def test_a_translation_must_have_every_message_with_the_same_placeholders():
    template = {"@@locale": "en", "title": "Books", "count": "{n} books", "@count": {"placeholders": {"n": {}}}, "gone": "x", "blank": ""}
    assert translations.compare("app_fr.arb", template, {"title": "Livres", "count": "{n} livres", "gone": "y", "blank": ""}) == []
    assert translations.compare("app_fr.arb", template, {"title": " ", "count": "{m} livres", "more": "z", "blank": ""}) == [
        "app_fr.arb lacks gone", "app_fr.arb has keys that the template has not: more", "app_fr.arb leaves empty title",
        "app_fr.arb has other placeholders in count"]


def test_all_languages_are_looked_at_together(tmp_path):
    (tmp_path / "app_en.arb").write_text(json.dumps({"a": "x", "b": "y"}))
    (tmp_path / "app_fr.arb").write_text(json.dumps({"a": "x", "b": "y"}))
    (tmp_path / "app_ar.arb").write_text(json.dumps({"a": "x"}))
    (tmp_path / "app_kab.arb").write_text("[]")
    told = words(translations.check("mobile_l10n_path", str(tmp_path), "app_en.arb", ["fr", "en", "ar", "tzm", "kab"]))
    assert told == "app_tzm.arb cannot be read: No such file or directory; app_kab.arb is no JSON object; app_ar.arb lacks b"


def test_settings_of_fdroidserver_must_name_the_key_and_keep_older_versions(tmp_path):
    key = tmp_path / "keystore.p12"
    key.touch(mode=0o600)
    good = "repo_keyalias: key\nkeystore: keystore.p12\nkeystorepass: secret\n"
    assert not info.config_problems(good, str(tmp_path)) + info.config_problems(good + 'archive_older: "0"\n', str(tmp_path))
    assert "could not be signed" in words(info.config_problems("keystore: keystore.p12\n", str(tmp_path)))
    assert "to an archive" in words(info.config_problems(good + "archive_older: 3\n", str(tmp_path)))
    key.chmod(0o640)
    assert "can be read by others" in words(info.config_problems(good, str(tmp_path)))
    key.unlink()
    assert "is no readable file" in words(info.config_problems(good, str(tmp_path)))
