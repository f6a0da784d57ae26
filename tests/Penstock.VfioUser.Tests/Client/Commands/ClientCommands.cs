using Penstock.Interop;
using Penstock.Specs.Vfio;
using Penstock.Vfio;

namespace Penstock.VfioUser.Tests.Client;

/// <summary>Every command of a client: how it is called, and a reply that it takes.</summary>
internal static class ClientCommands
{
    public const ulong Iova = 0x10_0000;

    private static readonly Dictionary<string, (ushort Number, Action<VfioUserClient> Call, Func<byte[], byte[]> Reply)> All = new()
    {
        ["GetInfo"] = (Cmd.GetInfo, static c => Assert.Equal(9, c.GetInfo().RegionCount), static _ => new Payload().U32(16, 3, 9, 5)),
        ["GetRegionInfo"] = (Cmd.GetRegionInfo, static c => Assert.Equal(0x100ul, c.GetRegionInfo(2).Size), static _ => new Payload().U32(32, 3, 2, 0).U64(0x100, 0)),
        ["GetRegionIoFds"] = (Cmd.GetRegionIoFds, static c => c.GetRegionIoFds(2).Dispose(), static _ => new Payload().U32(16, 0, 2, 0)),
        ["GetIrqInfo"] = (Cmd.GetIrqInfo, static c => Assert.Equal(7u, c.GetIrqInfo(2).Count), static _ => new Payload().U32(16, 1, 2, 7)),
        ["SetIrqs"] = (Cmd.SetIrqs, static c => c.SetIrqs(2, VfioIrqSetFlags.DataNone | VfioIrqSetFlags.ActionTrigger, 0, 0), static _ => []),
        ["Read"] = (Cmd.RegionRead, Read, static request => [.. request[..16], 1, 2, 3, 4]),
        ["Write"] = (Cmd.RegionWrite, static c => c.Write(0, 8, [1, 2, 3, 4]), static request => request[..16]),
        ["WriteMultiple"] = (Cmd.WriteMulti, static c => c.WriteMultiple([new RegionWrite(0, 8, 4, 1)]), static _ => new Payload().U64(1)),
        ["MapDma"] = (Cmd.DmaMap, Map, static _ => []),
        ["UnmapDma"] = (Cmd.DmaUnmap, static c => c.UnmapDma(Iova, 0x1000), static request => request),
        ["UnmapDirty"] = (Cmd.DmaUnmap, static c => Assert.Equal([5ul], c.UnmapDma(Iova, 0x4000, 0x1000)), static request => [.. request, 5, 0, 0, 0, 0, 0, 0, 0]),
        ["Reset"] = (Cmd.Reset, static c => c.Reset(), static _ => []),
        ["GetState"] = (Cmd.Feature, static c => Assert.Equal(MigrationState.Running, c.GetMigrationState()), static _ => new Payload().U32(16, 2 | Cmd.Get, 2, uint.MaxValue)),
        ["SetState"] = (Cmd.Feature, static c => c.SetMigrationState(MigrationState.Stop), static request => request),
        ["MigRead"] = (Cmd.MigRead, ReadData, static _ => new Payload().U32(12, 4).Bytes([1, 2, 3, 4])),
        ["MigWrite"] = (Cmd.MigWrite, static c => c.WriteMigrationData([1, 2, 3]), static _ => []),
        ["StartLogging"] = (Cmd.Feature, static c => Assert.Equal(0x1000ul, c.StartDmaLogging([new VfioFeatureDmaLoggingRange { Iova = Iova, Size = 0x4000 }], 0x1000)), static request => request),
        ["Report"] = (Cmd.Feature, static c => Assert.Equal([3ul], c.ReportDmaLogging(Iova, 0x4000, 0x1000)), static request => [.. request[..8], .. new Payload().U64(Iova, 0x4000, 0x1000, 3).ToBytes()]),
    };

    public static IEnumerable<string> Names => All.Keys;

    public static ushort Number(string name) => All[name].Number;

    public static void Call(string name, VfioUserClient client) => All[name].Call(client);

    public static byte[] Reply(string name, byte[] request) => All[name].Reply(request);

    private static void Read(VfioUserClient client)
    {
        byte[] data = new byte[4];
        client.Read(0, 8, data);
        Assert.Equal([1, 2, 3, 4], data);
    }

    private static void ReadData(VfioUserClient client)
    {
        byte[] data = new byte[4];
        Assert.Equal(4, client.ReadMigrationData(data));
        Assert.Equal([1, 2, 3, 4], data);
    }

    private static void Map(VfioUserClient client)
    {
        using MemoryFile memory = Handles.Memory(0x1000);
        client.MapDma(Iova, 0x1000, DmaAccess.ReadWrite, memory);
    }
}
