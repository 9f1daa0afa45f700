"""Who asks: what an authenticated request may do. A value, without HTTP, tokens or a store."""

from __future__ import annotations

from typing import Literal

import msgspec

from ml_dash.errors import NotFound, PermissionDenied

Scope = Literal["read", "write", "admin"]
SCOPES: tuple[Scope, ...] = ("read", "write", "admin")
"""Each covers those before it."""


class Caller(msgspec.Struct, frozen=True):
    """One request's rights; `scope` None is none at all. `namespaces` None covers all of them; `id` names the token in logs, "" where
    there is none."""

    scope: Scope | None
    namespaces: tuple[str, ...] | None
    id: str

    def namespace(self, asked: str) -> str:
        """The namespace that `asked` means: "" is the caller's own, the first that it lists. Raises `NotFound` for one that
        it does not cover."""
        if not asked:
            return self.namespaces[0] if self.namespaces else ""
        if not self.sees(asked):
            raise NotFound(f"there is no namespace {asked!r} here, or this token does not cover it.")
        return asked

    def sees(self, namespace: str) -> bool:
        """Whether what lies in `namespace` is there for this caller."""
        return self.namespaces is None or namespace in self.namespaces

    def may(self, scope: Scope) -> bool:
        """Whether the caller's scope covers `scope`."""
        return self.scope is not None and SCOPES.index(self.scope) >= SCOPES.index(scope)

    def require(self, scope: Scope) -> None:
        """Raise `PermissionDenied` where the caller's scope does not cover `scope`."""
        if self.scope is None:
            raise PermissionDenied("this needs a token; whoever runs the server makes one with `ml-dash token create`.")
        if not self.may(scope):
            raise PermissionDenied(
                f"this needs a token with the scope {scope!r}; yours has {self.scope!r}. "
                f"Whoever runs the server makes one with `ml-dash token create --scope {scope}`."
            )


ANYBODY = Caller("admin", None, "")
"""Who asks where nobody looks at tokens."""
NOBODY = Caller(None, (), "")
"""Who may do nothing but have the page and sign in."""
