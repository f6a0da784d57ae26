using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Penstock.Interop;

namespace Penstock.Vfio;

/// <summary>The size rules of structures that start with their own size.</summary>
internal static class Arguments
{
    /// <summary>Reads an iommufd structure: may be shorter than known down to a minimum, or longer if the rest is zero.</summary>
    /// <exception cref="VfioException">EFAULT: shorter than it says; EINVAL: too short; E2BIG: a longer one that says more.</exception>
    internal static T Take<T>(string what, ReadOnlySpan<byte> argument, int minimum)
        where T : unmanaged
    {
        uint size = SizeOf(what, argument, minimum);
        int known = Math.Min((int)size, Unsafe.SizeOf<T>());
        if (argument[known..(int)size].ContainsAnyExcept((byte)0))
        {
            throw new VfioException(Errno.E2BIG, what, $"{size} bytes, of which only {known} are known, and the others are not zero");
        }

        return Known<T>(argument[..known]);
    }

    /// <summary>Reads a VFIO structure: what is longer than known is not looked at.</summary>
    /// <exception cref="VfioException">EFAULT: shorter than it says; EINVAL: too short.</exception>
    internal static T TakeIgnoringRest<T>(string what, ReadOnlySpan<byte> argument, int minimum)
        where T : unmanaged
    {
        uint size = SizeOf(what, argument, minimum);
        return Known<T>(argument[..Math.Min((int)size, Unsafe.SizeOf<T>())]);
    }

    /// <summary>Answers in place, no further than the caller's structure reaches.</summary>
    internal static void Put<T>(Span<byte> argument, in T value)
        where T : unmanaged
    {
        int size = (int)Math.Min(MemoryMarshal.Read<uint>(argument), (uint)Unsafe.SizeOf<T>());
        MemoryMarshal.AsBytes(new ReadOnlySpan<T>(in value))[..size].CopyTo(argument);
    }

    private static uint SizeOf(string what, ReadOnlySpan<byte> argument, int minimum)
    {
        if (argument.Length < sizeof(uint))
        {
            throw new VfioException(Errno.EFAULT, what, "there is no structure");
        }

        uint size = MemoryMarshal.Read<uint>(argument);
        if (size < (uint)minimum)
        {
            throw new VfioException(Errno.EINVAL, what, $"the structure has {size} bytes, {minimum} are needed");
        }

        return size <= (uint)argument.Length ? size : throw new VfioException(Errno.EFAULT, what, $"{argument.Length} bytes of {size} are there");
    }

    private static T Known<T>(ReadOnlySpan<byte> bytes)
        where T : unmanaged
    {
        T value = default;
        bytes.CopyTo(MemoryMarshal.AsBytes(new Span<T>(ref value)));
        return value;
    }
}
