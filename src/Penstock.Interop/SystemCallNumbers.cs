using System.Runtime.InteropServices;

namespace Penstock.Interop;

/// <summary>Numbers of the system calls that are made by number; each processor has its own.</summary>
internal static class SystemCallNumbers
{
    internal static readonly nint Close = Of(x64: 3, generic: 57, s390x: 6, ppc64: 6);
    internal static readonly nint SendTo = Of(x64: 44, generic: 206, s390x: 369, ppc64: 335);
    internal static readonly nint ReceiveMessage = Of(x64: 47, generic: 212, s390x: 372, ppc64: 342);
    internal static readonly nint Futex = Of(x64: 202, generic: 98, s390x: 238, ppc64: 221);

    private static nint Of(nint x64, nint generic, nint s390x, nint ppc64) => RuntimeInformation.ProcessArchitecture switch
    {
        Architecture.X64 => x64,
        Architecture.Arm64 or Architecture.RiscV64 or Architecture.LoongArch64 => generic,
        Architecture.S390x => s390x,
        Architecture.Ppc64le => ppc64,
        Architecture other => throw new PlatformNotSupportedException($"the numbers of system calls on {other} are not known"),
    };
}
