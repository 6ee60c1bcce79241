"""Sign-in by OpenID Connect: the authorization code flow with PKCE. It needs the extra `oidc`."""
