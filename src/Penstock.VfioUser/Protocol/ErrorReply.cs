using Penstock.Interop;
using Penstock.Specs.VfioUser;

namespace Penstock.VfioUser;

/// <summary>What an error reply of a peer says.</summary>
internal static class ErrorReply
{
    /// <summary>The kernel's errors end here (MAX_ERRNO).</summary>
    private const uint LargestErrno = 4095;

    /// <summary>Its errno. Zero and numbers beyond the kernel's range mean nothing and count as EINVAL.</summary>
    internal static Errno ErrnoOf(in VfioUserHeader header) => header.Error is 0 or > LargestErrno ? Errno.EINVAL : (Errno)header.Error;
}
