namespace Penstock.Lab.Debian;

/// <summary>Debian's releases that the lab is made from.</summary>
internal static class DebianSuites
{
    /// <summary>Debian 13.</summary>
    public const string Stable = "trixie";

    /// <summary>Newer versions for Debian 13: QEMU 11 is here, and kernels.</summary>
    public const string Backports = "trixie-backports";
}
