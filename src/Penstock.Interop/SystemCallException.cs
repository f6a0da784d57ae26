using System.Runtime.InteropServices;

namespace Penstock.Interop;

/// <summary>A system call failed. The message names the call, the thing it was made on and the error.</summary>
public sealed class SystemCallException : Exception
{
    /// <summary>Creates the exception.</summary>
    /// <param name="call">The name of the call, as in its manual page.</param>
    /// <param name="thing">What the call was made on: a path, a descriptor's purpose.</param>
    /// <param name="errno">The error number that the call left.</param>
    public SystemCallException(string call, string thing, Errno errno)
        : base($"{call} failed on {thing}: {errno} ({Marshal.GetPInvokeErrorMessage((int)errno)})")
    {
        Call = call;
        Thing = thing;
        Errno = errno;
    }

    /// <summary>The name of the call.</summary>
    public string Call { get; }

    /// <summary>What the call was made on.</summary>
    public string Thing { get; }

    /// <summary>The error number that the call left.</summary>
    public Errno Errno { get; }
}
