"""Members: the people who belong to a tenant."""

from __future__ import annotations

from django.contrib.auth import get_user_model
from django.urls import reverse
from rest_framework.request import Request
from rest_framework.response import Response

from rateguard.api.limits.shapes import name_of, word
from rateguard.api.manage.described import TENANT, changes, creates, deletes, lists, shows
from rateguard.api.manage.door import ManageView, numbered, reach_of
from rateguard.api.manage.paging import PAGE, page_of
from rateguard.api.manage.reading import read
from rateguard.api.manage.rendering import render_member
from rateguard.api.manage.shapes import MEMBERS, MemberChangesShape, MemberShape, NewMemberShape
from rateguard.api.params import Query
from tenants.changes.members import add_member, change_member, remove_member
from tenants.models import Member, MemberRole


class Members(ManageView):
    """GET: the members. POST: a new one."""

    @lists("members", MEMBERS, TENANT, name_of("username"), word("role", MemberRole.values))
    def get(self, request: Request) -> Response:
        """Of all tenants for an operator, or of one."""
        query = Query(request, ("tenant", "username", "role", *PAGE))
        rows = reach_of(request).listed(Member.objects.select_related("tenant", "user"), query, "tenant")
        wanted = {f"user__{get_user_model().USERNAME_FIELD}": query.text("username"), "role": query.choice("role", MemberRole.values)}
        return page_of(rows.filter(**{name: value for name, value in wanted.items() if value}), query, render_member)

    @creates("member", NewMemberShape, MemberShape)
    def post(self, request: Request) -> Response:
        """201. Who is not known yet becomes a user without a password. A tenant's key adds new people, an operator any."""
        reach, fields = reach_of(request), read(request, NewMemberShape)
        row = add_member(reach.actor, reach.sure_owner(fields.pop("tenant", None)), **fields)
        return Response(render_member(row), status=201, headers={"Location": reverse("rateguard:manage-member", args=[row.pk])})


class OneMember(ManageView):
    """GET, PATCH and DELETE of a member."""

    @shows("member", MemberShape)
    def get(self, request: Request, member: int) -> Response:
        """A member."""
        Query(request, ())
        return Response(render_member(_row(request, member)))

    @changes("member", MemberChangesShape, MemberShape)
    def patch(self, request: Request, member: int) -> Response:
        """Another role."""
        row = _row(request, member)
        return Response(render_member(change_member(reach_of(request).actor, row, **read(request, MemberChangesShape, partial=True))))

    @deletes("member", "A person belongs to a tenant no longer")
    def delete(self, request: Request, member: int) -> Response:
        """204. The user stays."""
        remove_member(reach_of(request).actor, _row(request, member))
        return Response(status=204)


def _row(request: Request, pk: int) -> Member:
    return numbered(reach_of(request).own(Member.objects.select_related("tenant", "user"), "tenant"), pk)
