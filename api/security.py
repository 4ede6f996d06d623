"""Identity and privileges of the processes in a pod."""

from __future__ import annotations

from api.meta import Resource, required


class AppArmorProfile(Resource):
    """RuntimeDefault, Unconfined or Localhost with the name of a loaded profile."""

    type: str = required("")
    localhost_profile: str | None = None


class SeccompProfile(Resource):
    """RuntimeDefault, Unconfined or Localhost with a file below the agent's profile folder."""

    type: str = required("")
    localhost_profile: str | None = None


class Capabilities(Resource):
    """POSIX capabilities to add to and drop from the runtime's default set."""

    add: tuple[str, ...] = ()
    drop: tuple[str, ...] = ()


class SELinuxOptions(Resource):
    """The SELinux context of the container."""

    type: str | None = None
    level: str | None = None
    role: str | None = None
    user: str | None = None


class WindowsSecurityContextOptions(Resource):
    """Settings that only Windows nodes know."""

    gmsa_credential_spec: str | None = None
    gmsa_credential_spec_name: str | None = None
    host_process: bool | None = None
    run_as_user_name: str | None = None


class SecurityContext(Resource):
    """What one container may do; wins over the pod's settings where both exist."""

    allow_privilege_escalation: bool | None = None
    app_armor_profile: AppArmorProfile | None = None
    capabilities: Capabilities | None = None
    privileged: bool | None = None
    proc_mount: str | None = None
    read_only_root_filesystem: bool | None = None
    run_as_group: int | None = None
    run_as_non_root: bool | None = None
    run_as_user: int | None = None
    se_linux_options: SELinuxOptions | None = None
    seccomp_profile: SeccompProfile | None = None
    windows_options: WindowsSecurityContextOptions | None = None


class Sysctl(Resource):
    """One namespaced kernel parameter."""

    name: str = required("")
    value: str = required("")


class PodSecurityContext(Resource):
    """Settings for all containers of a pod and its volumes. Ids are numeric."""

    app_armor_profile: AppArmorProfile | None = None
    fs_group: int | None = None
    fs_group_change_policy: str | None = None
    run_as_group: int | None = None
    run_as_non_root: bool | None = None
    run_as_user: int | None = None
    se_linux_change_policy: str | None = None
    se_linux_options: SELinuxOptions | None = None
    seccomp_profile: SeccompProfile | None = None
    supplemental_groups: tuple[int, ...] = ()
    supplemental_groups_policy: str | None = None
    sysctls: tuple[Sysctl, ...] = ()
    windows_options: WindowsSecurityContextOptions | None = None
