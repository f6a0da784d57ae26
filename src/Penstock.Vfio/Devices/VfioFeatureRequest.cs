using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Penstock.Interop;
using Penstock.Specs.Vfio;

namespace Penstock.Vfio;

/// <summary>
/// A DEVICE_FEATURE call on its way to whoever has the feature. Who does not have it throws ENOTTY without looking at anything else;
/// who has it calls <see cref="Proceed"/> first.
/// </summary>
public readonly ref struct VfioFeatureRequest
{
    internal VfioFeatureRequest(string device, VfioFeatureFlags flags, Span<byte> data, IUserAddressSpace memory, IUserFiles files)
    {
        What = $"DEVICE_FEATURE {(VfioFeature)(flags & VfioFeatureFlags.FeatureMask)} of {device}";
        Flags = flags;
        Data = data;
        Memory = memory;
        Files = files;
    }

    /// <summary>The call, for errors.</summary>
    public string What { get; }

    /// <summary>Feature and operation as the user gave them; unknown bits have been refused.</summary>
    public VfioFeatureFlags Flags { get; }

    /// <summary>The feature.</summary>
    public VfioFeature Feature => (VfioFeature)(Flags & VfioFeatureFlags.FeatureMask);

    /// <summary>Whether it is to be set; otherwise the user asks for it.</summary>
    public bool IsSet => (Flags & VfioFeatureFlags.Set) != 0;

    /// <summary>What follows the header: the feature's structure, to be answered in place.</summary>
    public Span<byte> Data { get; }

    /// <summary>What pointers in the structure mean.</summary>
    public IUserAddressSpace Memory { get; }

    /// <summary>What descriptors in the structure mean.</summary>
    public IUserFiles Files { get; }

    /// <summary>Checks the operation and the structure's size.</summary>
    /// <param name="supported">Get, Set or both.</param>
    /// <param name="length">Length of the feature's structure.</param>
    /// <returns>False when the user only probes, so that nothing is to be done.</returns>
    /// <exception cref="VfioException">EINVAL: an operation that is not supported, none at all, or a structure that is too short.</exception>
    public bool Proceed(VfioFeatureFlags supported, int length)
    {
        VfioFeatureFlags wanted = Flags & (VfioFeatureFlags.Get | VfioFeatureFlags.Set);
        if ((wanted & ~supported) != 0)
        {
            throw new VfioException(Errno.EINVAL, What, $"{wanted} is not possible, only {supported}");
        }

        if ((Flags & VfioFeatureFlags.Probe) != 0)
        {
            return false;
        }

        if (wanted == 0)
        {
            throw new VfioException(Errno.EINVAL, What, "neither GET nor SET was asked for");
        }

        return Data.Length >= length
            ? true
            : throw new VfioException(Errno.EINVAL, What, $"{Data.Length} bytes of data, {length} are needed");
    }

    /// <summary>Reads the feature's structure, whose length was checked.</summary>
    /// <typeparam name="T">The structure.</typeparam>
    /// <returns>A copy.</returns>
    public T Take<T>()
        where T : unmanaged => MemoryMarshal.Read<T>(Data);

    /// <summary>Answers with the feature's structure.</summary>
    /// <typeparam name="T">The structure.</typeparam>
    /// <param name="value">The answer.</param>
    public void Put<T>(in T value)
        where T : unmanaged => MemoryMarshal.Write(Data, value);

    /// <summary>Copies something that the structure points to.</summary>
    /// <typeparam name="T">What it is.</typeparam>
    /// <param name="address">Its address.</param>
    /// <returns>A copy.</returns>
    /// <exception cref="VfioException">EFAULT: it is not there.</exception>
    public T Fetch<T>(ulong address)
        where T : unmanaged
    {
        T value = default;
        Errno errno = Memory.Read(address, MemoryMarshal.AsBytes(new Span<T>(ref value)));
        return errno == Errno.None ? value : throw new VfioException(errno, What, $"{Unsafe.SizeOf<T>()} bytes at 0x{address:x} cannot be read");
    }
}
