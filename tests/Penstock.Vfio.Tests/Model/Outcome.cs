using Penstock.Interop;

namespace Penstock.Vfio.Tests.Model;

/// <summary>What a step gave: an error, or a value such as the bytes unmapped.</summary>
internal readonly record struct Outcome(Errno Errno, ulong Value = 0)
{
    public override string ToString() => Errno == Errno.None ? $"{Value}" : $"{Errno}";

    public static implicit operator Outcome(Errno errno) => new(errno);
}
