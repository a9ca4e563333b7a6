import copy
import pickle

import pytest
from cryptography.fernet import Fernet
from django.core.exceptions import FieldError
from django.core.management import CommandError, call_command
from django.db import connection
from django.test import override_settings

from rateguard.engine.errors import ConfigurationError, SecretUnreadable
from tenants.models import ProviderAccount, Tenant, WebhookEndpoint
from tenants.secrets import Secret, decrypt, encrypt, rotate

OLD, NEW = Fernet.generate_key().decode(), Fernet.generate_key().decode()
TEXT = "sk-proj-abcdefghijklmnop"


def keys(*found):
    return override_settings(RATEGUARD={"ENCRYPTION_KEYS": list(found)})


def account(name="main", credentials=TEXT):
    return ProviderAccount.objects.create(name=name, provider="openai", base_url="https://api.example.com/v1", credentials=credentials)


def column(name="main"):
    with connection.cursor() as cursor:
        cursor.execute("select credentials from rateguard_tenants_provideraccount where name = %s", [name])
        return cursor.fetchone()[0]


def test_a_secret_is_read_back_and_its_stored_form_does_not_contain_it():
    with keys(NEW):
        assert TEXT not in encrypt(TEXT)
        assert decrypt(encrypt(TEXT)) == TEXT


def test_a_wrong_key_raises_and_shows_nothing_of_what_is_stored():
    with keys(OLD):
        stored = encrypt(TEXT)
    with keys(NEW), pytest.raises(SecretUnreadable) as caught:
        decrypt(stored)
    assert stored not in str(caught.value)


def test_damaged_ciphertext_raises():
    with keys(NEW), pytest.raises(SecretUnreadable):
        decrypt("fernet:gAAAAA")


def test_the_first_key_encrypts_and_all_decrypt():
    with keys(OLD):
        stored = encrypt(TEXT)
    with keys(NEW, OLD):
        assert decrypt(stored) == TEXT
        rotated = rotate(stored)
    with keys(NEW):
        assert decrypt(rotated) == TEXT


def test_without_a_key_nothing_is_stored():
    with override_settings(RATEGUARD={}, RATEGUARD_ENV="production"), pytest.raises(ConfigurationError, match="ENCRYPTION_KEYS"):
        encrypt(TEXT)


@pytest.mark.parametrize("show", [str, repr, "{}".format, "%s".__mod__, lambda secret: repr({"secret": [secret]})])
def test_a_secret_shows_itself_in_no_way_of_writing(show):
    assert TEXT not in show(Secret(TEXT))


def test_a_secret_is_copied_but_never_pickled():
    assert copy.deepcopy([Secret(TEXT)])[0].reveal() == TEXT
    with pytest.raises(TypeError, match="never pickled"):
        pickle.dumps(Secret(TEXT))


@pytest.mark.django_db
def test_credentials_are_encrypted_in_the_row_and_a_secret_in_the_model():
    row = account()
    assert TEXT not in column()
    assert row.credentials.reveal() == ProviderAccount.objects.get().credentials.reveal() == TEXT
    assert TEXT not in repr(row) + str(row) + repr(vars(row))


@pytest.mark.django_db
def test_saving_another_field_keeps_the_stored_secret_even_where_the_key_is_gone():
    with keys(OLD):
        account()
    with keys(NEW):
        row = ProviderAccount.objects.get()
        row.base_url = "https://other.example.com"
        row.full_clean()
        row.save()
        with pytest.raises(SecretUnreadable):
            ProviderAccount.objects.get().credentials.reveal()
    with keys(OLD):
        assert ProviderAccount.objects.get().credentials.reveal() == TEXT


@pytest.mark.django_db
def test_rows_cannot_be_searched_by_secret():
    with pytest.raises(FieldError):
        ProviderAccount.objects.filter(credentials=TEXT)


@pytest.mark.django_db
def test_rotation_makes_the_old_key_needless(capsys):
    with keys(OLD):
        account()
        account("empty", "")
        hook = WebhookEndpoint.objects.create(
            tenant=Tenant.objects.create(name="acme"), name="hook", url="https://example.com", secret=TEXT, previous_secret="older"
        )
    with keys(NEW, OLD):
        call_command("rotate_secrets")
    with keys(NEW):
        hook.refresh_from_db()
        assert (hook.secret.reveal(), hook.previous_secret.reveal()) == (TEXT, "older")
        assert [row.credentials.reveal() for row in ProviderAccount.objects.order_by("name")] == ["", TEXT]


@pytest.mark.django_db
def test_rotation_names_what_no_key_opens_and_rotates_the_rest(capsys):
    with keys(OLD):
        account("a-lost-one")
    with keys(NEW):
        account("b-good-one")
    latest = Fernet.generate_key().decode()
    with keys(latest, NEW), pytest.raises(CommandError, match="a-lost-one") as caught:
        call_command("rotate_secrets")
    assert "b-good-one" not in str(caught.value)
    with keys(latest):
        assert ProviderAccount.objects.get(name="b-good-one").credentials.reveal() == TEXT
