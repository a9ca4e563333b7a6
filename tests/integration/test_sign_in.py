"""Signing in: by password behind a lock, by a link once; what a session is and what ends it."""

# ruff: noqa: F811 -- a fixture is imported by name and asked for by name

from __future__ import annotations

import datetime as dt
import re

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.password_validation import validate_password
from django.contrib.sessions.models import Session
from django.core.exceptions import ValidationError
from django.db import OperationalError
from django.test import Client
from django.utils import timezone

from dashboard.links import make_link
from dashboard.models import SignInLink
from rateguard import settings as project
from tenants.keys import issue_key
from tenants.models import Member
from tests.tenancy import acme  # noqa: F401

PASSWORD, NEW = "twelve-letters-1", "another-twelve-2"
SIGN_IN, NOW, CHANGE = "/dashboard/signin", "/dashboard/", "/dashboard/password"


@pytest.fixture(autouse=True)
def quick(settings):
    """Argon2 takes its time on purpose; here it need not."""
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


@pytest.fixture
def ada(acme):
    user = get_user_model().objects.create_user("ada", password=PASSWORD)
    Member.objects.create(tenant=acme.tenant, user=user, role="viewer")
    return user


def signs_in(client, password=PASSWORD, address="192.0.2.1", username="ada", **more):
    return client.post(SIGN_IN, {"username": username, "password": password, **more}, REMOTE_ADDR=address)


def is_signed_in(client):
    return client.get(CHANGE).status_code == 200


def by_link(user, client=None):
    client = client or Client()
    client.get(f"{SIGN_IN}/{make_link(user)}", REMOTE_ADDR="192.0.2.1")
    return client


# ---- by password


def test_a_password_signs_in_with_a_session_of_its_own_and_leads_back(ada):
    client = Client()
    asked = client.get("/dashboard/jobs?state=failed")
    client.get(asked.headers["Location"])
    client.cookies["rateguard_session"] = "found-elsewhere"

    response = signs_in(client, next="/dashboard/jobs?state=failed")

    assert response.headers["Location"] == "/dashboard/jobs?state=failed"
    cookie = response.cookies["rateguard_session"]
    assert cookie.value != "found-elsewhere"
    assert (cookie["httponly"], cookie["samesite"]) == (True, "Lax")
    assert is_signed_in(client)


@pytest.mark.parametrize(
    "there", ["https://evil.example/", "//evil.example", "javascript:alert(1)", SIGN_IN, f"{SIGN_IN}?next={SIGN_IN}", ""]
)
def test_it_leads_to_this_site_alone_and_never_in_a_circle(there, ada):
    client = Client()
    assert signs_in(client, next=there).headers["Location"] == NOW
    assert client.get(SIGN_IN, {"next": there}).headers["Location"] == NOW


def test_wrong_passwords_lock_the_name_from_that_address_and_from_no_other(ada):
    client = Client()
    statuses = [signs_in(client, "wrong").status_code for _ in range(5)]
    locked = signs_in(client)

    assert statuses == [200] * 4 + [429]
    assert (locked.status_code, locked.headers["Retry-After"]) == (429, "900")
    assert "15 minutes" in locked.content.decode()
    assert "default-src 'none'" in locked.headers["Content-Security-Policy"]
    assert not is_signed_in(client)
    assert signs_in(Client(), address="192.0.2.2").status_code == 302
    assert is_signed_in(by_link(ada, client))
    assert signs_in(Client()).status_code == 302  # who came by a link is guessed at no longer


def test_behind_a_proxy_the_lock_is_on_whoever_asked_it_whatever_they_write_themselves(ada, settings):
    settings.SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")

    def guess(forwarded, password="wrong"):
        sent = {"username": "ada", "password": password}
        return Client().post(SIGN_IN, sent, REMOTE_ADDR="10.0.0.1", headers={"X-Forwarded-For": forwarded}).status_code

    statuses = [guess(f"198.51.100.{index}, 192.0.2.1:{4_000 + index}") for index in range(5)]
    assert statuses[-1] == guess("192.0.2.1", PASSWORD) == 429
    assert guess("192.0.2.1, 192.0.2.2", PASSWORD) == 302


def test_without_a_proxy_nobody_is_believed_what_address_they_have(ada):
    sent = {"username": "ada", "password": "wrong"}
    statuses = [Client().post(SIGN_IN, sent, headers={"X-Forwarded-For": f"198.51.100.{index}"}).status_code for index in range(5)]
    assert statuses[-1] == 429


def test_who_may_not_sign_in_is_told_the_same_whoever_they_are(ada):
    get_user_model().objects.create_user("gone", password=PASSWORD, is_active=False)
    told = {
        re.sub(r'value="[^"]*"', "", signs_in(Client(), password, username=name, address="192.0.2.9").content.decode())
        for name, password in (("ada", "wrong"), ("nobody", PASSWORD), ("gone", PASSWORD))
    }
    assert len(told) == 1
    assert "Please enter a correct username and password" in told.pop()


def test_a_form_without_this_sites_sign_is_refused_with_a_page(ada):
    response = Client(enforce_csrf_checks=True).post(SIGN_IN, {"username": "ada", "password": PASSWORD})
    assert response.status_code == 403
    assert "Load the page again" in response.content.decode()
    assert "default-src 'none'" in response.headers["Content-Security-Policy"]


def test_passwords_are_kept_by_argon2_and_have_twelve_characters():
    assert project.PASSWORD_HASHERS[0] == "django.contrib.auth.hashers.Argon2PasswordHasher"
    with pytest.raises(ValidationError, match="at least 12"):
        validate_password("eleven-char")


# ---- by a link


def test_a_link_signs_in_once_and_its_owner_may_click_it_twice(ada):
    address = f"{SIGN_IN}/{make_link(ada)}"
    client = Client()

    assert client.get(address).headers["Location"] == NOW
    assert client.get(address).headers["Location"] == NOW
    stranger = Client()
    again = stranger.get(address)
    assert again.status_code == 410
    assert "manage.py signin" in again.content.decode()
    assert not is_signed_in(stranger)


@pytest.mark.parametrize("sent", [{"Sec-Purpose": "prefetch;prerender"}, {"Purpose": "prefetch"}])
def test_looking_ahead_uses_no_link_up(sent, ada):
    address = f"{SIGN_IN}/{make_link(ada)}"
    assert Client().get(address, headers=sent).status_code == 503
    assert Client().head(address).status_code == 405
    assert is_signed_in(by_link(ada))


def test_a_link_that_is_over_or_of_somebody_who_is_gone_signs_nobody_in(ada):
    over = make_link(ada, dt.timedelta(seconds=-1))
    of_gone = make_link(get_user_model().objects.create_user("gone", is_active=False))
    assert [Client().get(f"{SIGN_IN}/{secret}").status_code for secret in (over, of_gone, "x")] == [410] * 3
    assert SignInLink.objects.filter(used_at__isnull=False).count() == 0


def test_links_and_sessions_that_are_over_are_forgotten(ada):
    make_link(ada, dt.timedelta(seconds=-1))
    Session.objects.create(session_key="old", session_data="", expire_date=timezone.now() - dt.timedelta(days=1))
    by_link(ada)
    assert SignInLink.objects.count() == 1
    assert not Session.objects.filter(session_key="old").exists()


# ---- a password of one's own


def test_who_has_no_password_is_offered_one_and_may_go_on_without(acme):
    new = get_user_model().objects.create_user("new")
    Member.objects.create(tenant=acme.tenant, user=new, role="member")
    client = Client()

    assert client.get(f"{SIGN_IN}/{make_link(new)}").headers["Location"] == CHANGE
    page = client.get(CHANGE).content.decode()
    assert "Not now" in page
    assert "old_password" not in page
    assert client.get(NOW).status_code == 200
    assert "at least 12" in client.post(CHANGE, {"new_password1": "short", "new_password2": "short"}).content.decode()
    assert client.post(CHANGE, {"new_password1": NEW, "new_password2": NEW}).headers["Location"] == NOW
    assert is_signed_in(client)
    assert signs_in(Client(), NEW, username="new").status_code == 302


def test_a_new_password_takes_the_old_one_and_ends_all_other_sessions(ada):
    client, elsewhere = Client(), Client()
    for each in (client, elsewhere):
        signs_in(each)

    sent = {"new_password1": NEW, "new_password2": NEW}
    assert client.post(CHANGE, sent).status_code == 400
    assert client.post(CHANGE, {**sent, "old_password": PASSWORD}).status_code == 302

    assert is_signed_in(client)
    assert not is_signed_in(elsewhere)
    assert signs_in(Client()).status_code == 200


def test_who_lost_the_password_came_by_a_link_and_sets_another_once(ada):
    client = by_link(ada)
    assert client.post(CHANGE, {"new_password1": NEW, "new_password2": NEW}).status_code == 302
    assert "old_password" in client.get(CHANGE).content.decode()


def test_an_open_browser_does_not_let_anybody_guess_the_password(ada):
    client = Client()
    signs_in(client)
    sent = {"old_password": "wrong", "new_password1": NEW, "new_password2": NEW}
    assert [client.post(CHANGE, sent).status_code for _ in range(5)] == [400] * 4 + [302]
    assert not is_signed_in(client)


# ---- sessions


def test_signing_out_takes_a_form_and_ends_the_session(ada):
    client = by_link(ada)
    stolen = Client()
    stolen.cookies["rateguard_session"] = client.cookies["rateguard_session"].value
    assert client.get("/dashboard/signout").status_code == 405
    assert is_signed_in(stolen)
    client.post("/dashboard/signout")
    assert not is_signed_in(client)
    assert not is_signed_in(stolen)


def test_who_is_no_longer_active_is_out_at_once(ada):
    client = by_link(ada)
    get_user_model().objects.filter(pk=ada.pk).update(is_active=False)
    assert client.get(NOW).headers["Location"].startswith(SIGN_IN)


def test_a_key_opens_no_page_and_a_session_no_address_of_rest(ada, acme):
    _, secret = issue_key(acme.tenant, "x")
    assert Client(headers={"Authorization": f"Bearer {secret}"}).get(NOW).status_code == 302
    assert by_link(ada).get("/api/v1/jobs").status_code == 401


def test_who_belongs_to_no_tenant_is_told_so_and_can_sign_out(db):
    client = by_link(get_user_model().objects.create_user("alone", password=PASSWORD))
    response = client.get(NOW)
    assert response.status_code == 403
    assert "You belong to no tenant" in response.content.decode()
    assert "Sign out" in response.content.decode()


def test_a_part_of_a_page_is_refused_instead_of_sent_to_a_form(db):
    assert Client().get(NOW, headers={"HX-Request": "true"}).status_code == 401
    assert Client().get(NOW, headers={"Accept": "text/event-stream"}).status_code == 401


def test_a_database_that_is_away_is_told_in_words(ada, monkeypatch):
    client = by_link(ada)

    def gone(*_):
        raise OperationalError("gone")

    monkeypatch.setattr("django.contrib.sessions.backends.db.SessionStore.load", gone)
    response = client.get(NOW)
    assert response.status_code == 503
    assert "The database does not answer" in response.content.decode()


def test_an_address_that_does_not_exist_has_a_page_too(db):
    response = Client().get("/dashboard/no/such/page")
    assert response.status_code == 404
    assert "There is no such page" in response.content.decode()
    assert Client().get("/api/v1/no-such").headers["Content-Type"] == "application/problem+json"
