using Penstock.Interop;

namespace Penstock.Vfio;

/// <summary>A control call was refused. Carries the errno that the kernel would answer, what was refused, and why.</summary>
public sealed class VfioException : Exception
{
    /// <summary>Creates the exception.</summary>
    /// <param name="errno">The error number; it goes out on the wire unchanged.</param>
    /// <param name="what">The call and the thing it was made on.</param>
    /// <param name="why">The reason and, where there is one, the remedy.</param>
    public VfioException(Errno errno, string what, string why)
        : base($"{what}: {why} ({errno})")
    {
        Errno = errno;
        What = what;
        Why = why;
    }

    /// <summary>The error number.</summary>
    public Errno Errno { get; }

    /// <summary>The call and the thing it was made on.</summary>
    public string What { get; }

    /// <summary>The reason.</summary>
    public string Why { get; }
}
