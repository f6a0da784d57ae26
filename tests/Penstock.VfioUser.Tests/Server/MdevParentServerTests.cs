using System.Buffers.Binary;
using Penstock.Devices;
using Penstock.Interop;
using Penstock.Pci;
using Penstock.Specs.Vfio;
using Penstock.Vfio;

namespace Penstock.VfioUser.Tests.Server;

/// <summary>Mediated devices over sockets: separate sessions, DMA into each client's own memory, and nothing left behind.</summary>
public sealed class MdevParentServerTests : IDisposable
{
    private const ulong Page = 4096;
    private const ulong Buffer = 0x40000;
    private const ulong Source = 0x80;
    private const ulong Destination = 0x88;
    private const ulong Count = 0x90;
    private const ulong Command = 0x98;
    private static readonly TimeSpan Patience = TimeSpan.FromMinutes(1);

    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    [Trait("Row", "S1-15")]
    public void Serve_TwoMediatedEdus_EachDoesDmaInItsClientsMemory()
    {
        var driver = new EduDriver();
        ResourceLedger ledger;
        using (MdevParentServer server = Serve(driver, Guid.NewGuid(), Guid.NewGuid()))
        {
            ledger = server.Host.Ledger;
            Assert.Equal(0, server.Parent.Types[0].AvailableInstances);
            using MemoryFile first = MemoryFile.Create("first", 4 * Page);
            using MemoryFile second = MemoryFile.Create("second", 4 * Page);
            using (VfioUserClient a = Connect("0.sock", first))
            using (VfioUserClient b = Connect("1.sock", second))
            {
                CopyThroughTheDevice(a, first, 0x11);
                CopyThroughTheDevice(b, second, 0x22);
                CopyThroughTheDevice(a, first, 0x33);
            }

            Assert.Equal((2, 0), (driver.Made, driver.Removed));
        }

        Assert.Equal((2, 2), (driver.Made, driver.Removed));
        Assert.Equal("nothing", ledger.ToString());
        Assert.Empty(Directory.GetFiles(_folder.Path));
    }

    [Fact]
    public void Serve_SecondPathCannotBeHad_NothingIsLeft()
    {
        var driver = new EduDriver();
        Directory.CreateDirectory(_folder.File("1.sock"));
        Assert.Throws<SystemCallException>(() => Serve(driver, Guid.NewGuid(), Guid.NewGuid()));
        Assert.Equal((2, 2), (driver.Made, driver.Removed));
        Assert.Empty(Directory.GetFiles(_folder.Path));
    }

    [Fact]
    public void Serve_SameUuidTwice_EEXISTAndNothingIsLeft()
    {
        var driver = new EduDriver();
        var uuid = Guid.NewGuid();
        Assert.Equal(Errno.EEXIST, Assert.Throws<VfioException>(() => Serve(driver, uuid, uuid)).Errno);
        Assert.Equal((1, 1), (driver.Made, driver.Removed));
    }

    [Fact]
    public void Dispose_ClientsConnected_EndsTheirSessions()
    {
        var driver = new EduDriver();
        MdevParentServer server = Serve(driver, Guid.NewGuid());
        using MemoryFile memory = MemoryFile.Create("memory", 4 * Page);
        using VfioUserClient client = Connect("0.sock", memory);
        Assert.False(server.Wait(TimeSpan.Zero));
        server.Dispose();
        Assert.True(server.Wait(TimeSpan.Zero));
        Assert.Equal((1, 1), (driver.Made, driver.Removed));
    }

    private static void CopyThroughTheDevice(VfioUserClient client, MemoryFile file, byte mark)
    {
        byte[] data = new byte[Page];
        Array.Fill(data, mark);
        using MemoryMapping memory = MemoryMapping.Map(file.Descriptor.Value, 0, (nuint)file.Size, MemoryProtection.Read | MemoryProtection.Write);
        data.CopyTo(Bytes(memory, Page));
        Transfer(client, Page, Buffer, 1);
        Transfer(client, Buffer, 3 * Page, 3);
        Assert.Equal(data, Bytes(memory, 3 * Page).ToArray());
        Assert.Equal(-1, Bytes(memory, 2 * Page).IndexOfAnyExcept((byte)0));
    }

    // SAFETY: the file has four pages, and the mapping outlives the span.
    private static unsafe Span<byte> Bytes(MemoryMapping memory, ulong offset) => new(memory.Pointer + offset, (int)Page);

    private static void Transfer(VfioUserClient client, ulong from, ulong to, ulong command)
    {
        Write(client, Source, from);
        Write(client, Destination, to);
        Write(client, Count, Page);
        Write(client, Command, command);
        byte[] state = new byte[8];
        Assert.True(SpinWait.SpinUntil(
            () =>
            {
                client.Read(VfioRegions.Bar0, Command, state);
                return (state[0] & 1) == 0;
            },
            Patience));
    }

    private static void Write(VfioUserClient client, ulong register, ulong value)
    {
        byte[] data = new byte[8];
        BinaryPrimitives.WriteUInt64LittleEndian(data, value);
        client.Write(VfioRegions.Bar0, register, data);
    }

    private MdevParentServer Serve(EduDriver driver, params Guid[] uuids) => MdevParentServer.Serve(
        "edus", driver, new MdevType("edu"), [.. uuids.Select((u, i) => new MdevEndpoint(u, _folder.File($"{i}.sock")))], static _ => Patient.Server);

    private VfioUserClient Connect(string socket, MemoryFile memory)
    {
        VfioUserClient client = VfioUserClient.Connect(_folder.File(socket), Patient.Client);
        client.MapDma(0, 4 * Page, DmaAccess.ReadWrite, memory);
        client.Write(VfioRegions.Config, 4, [6, 0]);
        return client;
    }

    private sealed class EduDriver : MdevDriver
    {
        private int _made;
        private int _removed;

        public int Made => _made;

        public int Removed => _removed;

        public override string Name => "edu";

        public override string DeviceApi => MdevDeviceApi.Pci;

        public override int MaxInstances => 2;

        protected override VfioDevice Probe(MdevDevice mdev)
        {
            Interlocked.Increment(ref _made);
            return new MediatedPciDevice(mdev, new EduFunction());
        }

        protected override void Remove(MdevDevice mdev, VfioDevice device)
        {
            Interlocked.Increment(ref _removed);
            ((MediatedPciDevice)device).Dispose();
        }
    }
}
