using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Penstock.Interop;
using Penstock.Specs.Zpci;
using Penstock.Vfio;

namespace Penstock.S390;

/// <summary>What a device's user learns of its zPCI function, whichever versions of the capabilities the device has.</summary>
public sealed record ZpciDeviceInfo
{
    // How long each capability is in its first version, and in the one that added what is asked for here.
    private const int FirstBase = 24;
    private const int BaseWithHandle = FirstBase + sizeof(uint);
    private const int FirstGroup = 31;
    private const int GroupWithInterpretedStore = 34;
    private const int HandleVersion = 2;
    private const int InterpretedStoreVersion = 2;

    /// <summary>The function itself.</summary>
    public ZpciBaseInfo Base { get; private init; }

    /// <summary>Version of <see cref="Base"/>.</summary>
    public ushort BaseVersion { get; private init; }

    /// <summary>Its group; null when the device does not say.</summary>
    public ZpciGroupInfo? Group { get; private init; }

    /// <summary>Version of <see cref="Group"/>; 0 when there is none.</summary>
    public ushort GroupVersion { get; private init; }

    /// <summary>The text about the function in EBCDIC; empty when there is none.</summary>
    public ReadOnlyMemory<byte> Util { get; private init; }

    /// <summary>The path to the function; empty when the device does not say.</summary>
    public ReadOnlyMemory<byte> Path { get; private init; }

    /// <summary>The function's handle on the host; null when the device does not say.</summary>
    public uint? HostHandle => BaseVersion >= HandleVersion ? Base.Handle : null;

    /// <summary>Longest store of a block that firmware does by itself; null when the device does not say.</summary>
    public ushort? MaximumInterpretedStore => GroupVersion >= InterpretedStoreVersion ? Group?.MaximumInterpretedStore : null;

    /// <summary><see cref="Util"/> as text, without what only fills it up.</summary>
    public string UtilText => Ebcdic.Decode(Util.Span);

    /// <summary>Takes the capabilities out of a device's info.</summary>
    /// <param name="info">The info.</param>
    /// <returns>What they say; null when the device has no zPCI function. A capability that is too short for its version counts as absent.</returns>
    public static ZpciDeviceInfo? Of(in VfioDeviceInfo info)
    {
        IReadOnlyList<VfioInfoCapability> all = info.Capabilities ?? [];
        (ZpciBaseInfo basis, ushort baseVersion) = Find<ZpciBaseInfo>(all, ZpciInfoCapability.Base, FirstBase, HandleVersion, BaseWithHandle);
        if (baseVersion == 0)
        {
            return null;
        }

        (ZpciGroupInfo group, ushort groupVersion) =
            Find<ZpciGroupInfo>(all, ZpciInfoCapability.Group, FirstGroup, InterpretedStoreVersion, GroupWithInterpretedStore);
        return new ZpciDeviceInfo
        {
            Base = basis,
            BaseVersion = baseVersion,
            Group = groupVersion == 0 ? null : group,
            GroupVersion = groupVersion,
            Util = Bytes(all, ZpciInfoCapability.Util),
            Path = Bytes(all, ZpciInfoCapability.Pfip),
        };
    }

    /// <summary>As the other, for somebody who needs them.</summary>
    /// <param name="file">The device.</param>
    /// <returns>What they say.</returns>
    /// <exception cref="VfioException">ENODEV: the device has no zPCI function; as <see cref="VfioDeviceFile.GetInfo"/>.</exception>
    public static ZpciDeviceInfo Of(VfioDeviceFile file)
    {
        ArgumentNullException.ThrowIfNull(file);
        return Of(file.GetInfo()) ?? throw new VfioException(Errno.ENODEV, $"asking {file.Name} for its zPCI function", "it has none");
    }

    private static (T Value, ushort Version) Find<T>(IReadOnlyList<VfioInfoCapability> all, ushort id, int firstLength, int later, int laterLength)
        where T : unmanaged
    {
        foreach (VfioInfoCapability capability in all)
        {
            int there = capability.Payload.Length;
            if (capability.Id != id || there < firstLength || capability.Version == 0)
            {
                continue;
            }

            T value = default;
            bool isLater = capability.Version >= later && there >= laterLength;
            int length = isLater ? Math.Min(there, Unsafe.SizeOf<T>()) : firstLength;
            capability.Payload.Span[..length].CopyTo(MemoryMarshal.AsBytes(new Span<T>(ref value)));
            return (value, isLater ? capability.Version : (ushort)1);
        }

        return default;
    }

    private static ReadOnlyMemory<byte> Bytes(IReadOnlyList<VfioInfoCapability> all, ushort id)
    {
        foreach (VfioInfoCapability capability in all)
        {
            if (capability.Id == id && capability.Payload.Length >= sizeof(uint))
            {
                uint length = MemoryMarshal.Read<uint>(capability.Payload.Span);
                return capability.Payload[sizeof(uint)..][..(int)Math.Min(length, (uint)capability.Payload.Length - sizeof(uint))];
            }
        }

        return default;
    }
}
