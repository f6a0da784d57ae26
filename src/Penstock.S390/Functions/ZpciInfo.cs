using System.Runtime.InteropServices;
using Penstock.Specs.Zpci;
using Penstock.Vfio;

namespace Penstock.S390;

/// <summary>What users of a zPCI device are told about its function; machines need it, and nobody else does.</summary>
internal static class ZpciInfo
{
    public static IReadOnlyList<VfioInfoCapability> CapabilitiesOf(ZpciFunction function)
    {
        ZpciBaseInfo basis = function.Base with { Handle = function.Handle, ErrorLength = ZpciErrorEventBlock.Length };
        ZpciGroupInfo group = function.Group with { Flags = function.Group.Flags | ZpciGroupInfo.Refresh, Reserved = 0 };
        var all = new List<VfioInfoCapability>
        {
            new(ZpciInfoCapability.Base, ZpciInfoCapability.BaseVersion, BytesOf(basis)),
            new(ZpciInfoCapability.Group, ZpciInfoCapability.GroupVersion, BytesOf(group)),
        };
        if (function.Util.Length != 0)
        {
            all.Add(new(ZpciInfoCapability.Util, ZpciInfoCapability.UtilVersion, WithLength(function.Util)));
        }

        all.Add(new(ZpciInfoCapability.Pfip, ZpciInfoCapability.PfipVersion, WithLength(function.Path)));
        return all;
    }

    private static byte[] BytesOf<T>(in T value)
        where T : unmanaged => MemoryMarshal.AsBytes(new ReadOnlySpan<T>(in value)).ToArray();

    private static byte[] WithLength(ReadOnlyMemory<byte> bytes) => [.. BytesOf((uint)bytes.Length), .. bytes.Span];
}
