using Penstock.Devices;
using Penstock.Interop;
using Penstock.Specs.Vfio;
using Penstock.Vfio;

namespace Penstock.VfioUser.Tests.Client;

/// <summary>What only a device behind a socket can meet: servers that are not there, go, or come again.</summary>
public sealed class RemoteDeviceTests
{
    private const ulong Iova = 0x10_0000;
    private static readonly TimeSpan Patience = TimeSpan.FromMinutes(1);

    [Fact]
    public void Open_NobodyListens_FailsAndLeavesNothing()
    {
        string path = Path.Combine(Path.GetTempPath(), Guid.NewGuid().ToString("n"));
        RemoteScript.Use(path, static rig =>
        {
            VfioException thrown = Assert.Throws<VfioException>(() => rig.Open());
            Assert.Equal(Errno.ENOENT, thrown.Errno);
            Assert.Contains("no server can be reached", thrown.Message, StringComparison.Ordinal);
        });
    }

    /// <summary>Each reply is in time, and all together are not.</summary>
    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Open_ServerThatIsSlowWithEachReply_EndsInTime(bool isSlowAtMaps) => FakeServer.Run(
        s =>
        {
            try
            {
                s.Negotiate();
                if (isSlowAtMaps)
                {
                    s.DescribeCard();
                }

                while (true)
                {
                    WireMessage command = s.Receive();
                    Thread.Sleep(1000);
                    byte[] body = command.Command switch
                    {
                        Cmd.GetInfo => new Payload().U32(16, 3, 9, 5),
                        Cmd.GetRegionInfo => new Payload().U32(32, 0, command.U32(8), 0).U64(0, 0),
                        _ => [],
                    };
                    s.Reply(command, body);
                }
            }
            catch (Exception end) when (end is SystemCallException or Xunit.Sdk.XunitException)
            {
                // The client had enough.
            }
        },
        static (path, _) => RemoteScript.Use(
            path,
            static rig =>
            {
                VfioException thrown = Assert.Throws<VfioException>(() => rig.Open());
                Assert.Equal(Errno.ETIMEDOUT, thrown.Errno);
                Assert.Contains("in 3 s", thrown.Message, StringComparison.Ordinal);
            },
            static rig =>
            {
                var plain = ProcessMemory.Allocate(0x10000);
                for (ulong i = 0; i < 16; i++)
                {
                    rig.Container.MapDma(Iova + (i * 0x1000), 0x1000, DmaAccess.ReadWrite, plain, i * 0x1000);
                }

                plain.Release();
            },
            new VfioUserClientOptions { OpenTimeout = TimeSpan.FromSeconds(3), ReplyTime = TimeSpan.FromSeconds(20) }));

    [Fact]
    public void Open_SecondFileOfTheDevice_SharesTheConnection() => RemoteScript.Run(
        static _ => { },
        static (_, rig) =>
        {
            using VfioDeviceFile first = rig.Open();
            using VfioDeviceFile second = rig.Open();
            Assert.Equal(9, second.GetInfo().RegionCount);
        });

    [Fact]
    public void Close_Last_Disconnects_OpenConnectsAnewAndSendsTheMapsOfThatMoment() => FakeServer.Run(
        static s =>
        {
            s.Negotiate();
            s.DescribeCard();
            s.Reply(s.Expect(Cmd.DmaMap, WireClient.Map(Iova, 0x1000)), []);
            s.AwaitEnd();
            s.Negotiate();
            s.DescribeCard();
            s.Reply(s.Expect(Cmd.DmaMap, WireClient.Map(2 * Iova, 0x1000)), []);
            s.Reply(s.Expect(Cmd.DmaMap, WireClient.Map(3 * Iova, 0x1000)), []);
            s.AwaitEnd();
        },
        static (path, _) => RemoteScript.Use(path, static rig =>
        {
            var plain = ProcessMemory.Allocate(0x1000);
            rig.Open().Dispose();
            rig.Container.UnmapDma(Iova, 0x1000);
            rig.Container.MapDma(2 * Iova, 0x1000, DmaAccess.ReadWrite, plain, 0);
            rig.Container.MapDma(3 * Iova, 0x1000, DmaAccess.ReadWrite, plain, 0);
            rig.Open().Dispose();
            plain.Release();
        }, static rig =>
        {
            var plain = ProcessMemory.Allocate(0x1000);
            rig.Container.MapDma(Iova, 0x1000, DmaAccess.ReadWrite, plain, 0);
            plain.Release();
        }));

    [Fact]
    public void Server_Dies_CallsFailAndTheErrorInterruptIsSignalled()
    {
        using DeviceRig rig = DeviceRig.Remote(new EduFunction());
        rig.Enable();
        using var error = EventDescriptor.Create(rig.Host.Ledger);
        rig.Bind(VfioIrqs.Err, 0, error);
        MappedMemory memory = rig.FileMemory(0x4000);
        rig.Map(Iova, 0x4000, memory);
        rig.KillServer();
        Assert.NotEqual(PollEvents.None, Poll.Wait(error.Number(), PollEvents.In, Patience));
        Assert.Equal((Errno.ENOTCONN, 0), (rig.File.Read(0, 0, new byte[4], out int done), done));
        Assert.Equal((Errno.ENOTCONN, 0), (rig.File.Write(0, 0, new byte[4], out done), done));
        Refused(() => rig.File.Reset());
        Refused(() => rig.File.GetMigrationState());
        Refused(() => rig.File.SetMigrationState(MigrationState.Stop));
        Refused(() => rig.File.SetIrqs(new VfioIrqRequest { Index = VfioIrqs.Msi, Flags = VfioIrqSetFlags.DataNone | VfioIrqSetFlags.ActionTrigger }));
        Refused(() => rig.Map(2 * Iova, 0x1000, memory));

        // What does not need the server goes on.
        Assert.Equal(9, rig.File.GetInfo().RegionCount);
        rig.Unmap(Iova, 0x4000);
        memory.Release();

        static void Refused(Action call) => Assert.Equal(Errno.ENOTCONN, Assert.Throws<VfioException>(call).Errno);
    }

    [Fact]
    public void Server_ComesAgain_TheNextOpenWorksWithTheOldMaps()
    {
        using var folder = new TemporaryFolder();
        string path = folder.File("s");
        var edu = new EduFunction();
        PciFunctionServer first = PciFunctionServer.Serve(edu, path, Patient.Server);
        RemoteScript.Use(path, rig =>
        {
            MappedMemory memory = rig.FileMemory(0x4000);
            rig.Container.MapDma(Iova, 0x4000, DmaAccess.ReadWrite, memory, 0);
            using (VfioDeviceFile file = rig.Open())
            {
                first.Dispose();
                Handles.Await(() => rig.Device.Failure is not null, "the end of the server");
                Assert.Equal(Errno.ENOTCONN, file.Read(0, 0, new byte[4], out _));
            }

            Assert.Throws<VfioException>(() => rig.Open());
            using PciFunctionServer second = PciFunctionServer.Serve(new EduFunction(), path, Patient.Server);
            using (VfioDeviceFile file = rig.Open())
            {
                Assert.Null(rig.Device.Failure);
                Assert.Equal(Errno.None, file.Write(VfioRegions.Config, 4, [7, 0], out _));
                byte[] data = [1, 2, 3, 4];
                Assert.Equal(Errno.None, file.Write(0, 0x40000, data, out _));
                foreach ((ulong register, ulong value) in ((ulong, ulong)[])[(0x80, 0x40000), (0x88, Iova + 0x10), (0x90, 4), (0x98, 3)])
                {
                    Assert.Equal(Errno.None, file.Write(0, register, BitConverter.GetBytes(value), out _));
                }

                Handles.Await(() => memory.Read(0x10, data) == Errno.None && data is [1, 2, 3, 4], "the transfer");
            }

            memory.Release();
        });
    }

    [Fact]
    public void Server_BusyWithAnother_OpenFailsInTime()
    {
        using DeviceRig first = DeviceRig.Remote(new EduFunction());
        using var host = new VfioHost();
        using var second = RemoteVfioDevice.Register(host, "second", first.ServerPath, new VfioUserClientOptions { ReplyTime = TimeSpan.FromMilliseconds(100) });
        using IommufdContext context = host.OpenIommufd(Caller.Current);
        using VfioCdevFile file = host.OpenCdev("second", Caller.Current);
        Assert.Equal(Errno.ETIMEDOUT, Assert.Throws<VfioException>(() => file.Bind(context)).Errno);
    }

    [Fact]
    public void Request_OfTheHost_ReachesTheUser()
    {
        var host = new VfioHost(new VfioHostOptions { RequestInterval = TimeSpan.FromMilliseconds(20) });
        FakeServer.Run(
            static s =>
            {
                s.Negotiate();
                s.DescribeCard();
                s.Reply(s.Expect(Cmd.SetIrqs), []);
                s.AwaitEnd();
            },
            (path, _) =>
            {
                var device = RemoteVfioDevice.Register(host, "remote", path, Patient.NoTwin);
                using IommufdContext context = host.OpenIommufd(Caller.Current);
                VfioCdevFile file = host.OpenCdev("remote", Caller.Current);
                file.Bind(context);
                using var request = EventDescriptor.Create();
                file.SetIrqs(new VfioIrqRequest
                {
                    Index = VfioIrqs.Req,
                    Flags = VfioIrqSetFlags.DataEventfd | VfioIrqSetFlags.ActionTrigger,
                    Count = 1,
                    Events = new EventDescriptor?[] { request },
                });
                var unplugging = new Thread(device.Dispose) { IsBackground = true };
                unplugging.Start();
                Assert.NotEqual(PollEvents.None, Poll.Wait(request.Number(), PollEvents.In, Patience));
                file.Dispose();
                Assert.True(unplugging.Join(Patience));
            });
        host.Dispose();
        Assert.True(host.Ledger.Total == 0, $"left behind: {host.Ledger}");
    }

    [Fact]
    public void Region_FileShorterThanTheArea_CannotBeMapped() => Region(
        0x1000,
        (file, guard) => Assert.Equal(Errno.EINVAL, Assert.Throws<VfioException>(() => file.Map(0, 0, 0x4000)).Errno));

    [Fact]
    public void Region_Guarded_FileTruncatedLater_IsAnErrorAndNotTheEnd() => Region(
        0x4000,
        (file, given) =>
        {
            using VfioRegionMapping mapping = file.Map(0, 0, 0x4000);
            Assert.Equal(Errno.None, mapping.Write(0x3000, [1, 2]));
            given.Truncate(0);
            Assert.Equal(Errno.EFAULT, mapping.Read(0x3000, new byte[2]));
            using RegionAccess access = mapping.Enter();
            Assert.True(access.Bytes.IsEmpty);
        },
        guard: true);

    [Fact]
    public void User_CannotTell_ByAnyAnswer()
    {
        // The same random calls, here and there: everything that comes back is compared.
        var random = new Random(4711);
        using DeviceRig local = DeviceRig.Local(new EduFunction());
        using DeviceRig remote = DeviceRig.Remote(new EduFunction());
        local.Enable();
        remote.Enable();
        for (int i = 0; i < 3000; i++)
        {
            int seed = random.Next();
            string expected = Call(local, new Random(seed));
            Assert.Equal((i, expected), (i, Call(remote, new Random(seed))));
        }
    }

    private static string Call(DeviceRig rig, Random random)
    {
        uint region = random.Next(4) switch { 0 => VfioRegions.Config, 1 => (uint)random.Next(12), _ => 0 };
        ulong offset = random.Next(5) switch
        {
            0 => (ulong)random.Next(0xA0),
            1 => 0x40000 + (ulong)random.Next(5000),
            2 => (1 << 20) - (ulong)random.Next(20),
            3 => (ulong)random.Next(300),
            _ => (ulong)random.NextInt64(),
        };
        byte[] data = new byte[random.Next(3) == 0 ? random.Next(300) : 1 << random.Next(4)];
        try
        {
            switch (random.Next(12))
            {
                case 0:
                    VfioRegionInfo info = rig.File.GetRegionInfo(region);
                    return $"{info.Flags} {info.Size} {info.Offset}";
                case 1:
                    return $"{rig.File.GetIrqInfo((uint)random.Next(7))}";
                case 2:
                    rig.File.SetIrqs(new VfioIrqRequest
                    {
                        Index = (uint)random.Next(6),
                        Flags = (VfioIrqSetFlags)random.Next(64),
                        Start = (uint)random.Next(2),
                        Count = (uint)random.Next(1, 3),
                        Bools = new byte[random.Next(3)],
                    });
                    return "done";
                case 3 when random.Next(10) == 0:
                    rig.File.Reset();
                    rig.Enable();
                    return "reset";
                case < 8:
                    // Not the registers that start something, nor the one that switches the device off.
                    random.NextBytes(data);
                    if ((region == 0 && offset is > 0x04 and < 0x40000) || (region == VfioRegions.Config && offset < 0x100))
                    {
                        return "left alone";
                    }

                    Errno errno = rig.File.Write(region, offset, data, out int written);
                    return $"write {errno} {written}";
                default:
                    errno = rig.File.Read(region, offset, data, out int read);
                    return $"read {errno} {read} {Convert.ToHexString(data.AsSpan(0, read))}";
            }
        }
        catch (VfioException e)
        {
            return $"{e.Errno}";
        }
    }

    private static void Region(ulong fileSize, Action<VfioDeviceFile, FakeFile> use, bool guard = false)
    {
        using var given = new FakeFile(fileSize);
        FakeServer.Run(
            s =>
            {
                s.Negotiate();
                s.DescribeCard(m => s.Reply(m, new Payload().U32(32, 7, 0, 0).U64(0x4000, 0), descriptors: given.Number));
                s.AwaitEnd();
            },
            (path, _) => RemoteScript.Use(
                path,
                rig =>
                {
                    using VfioDeviceFile file = rig.Open();
                    use(file, given);
                },
                options: new VfioUserClientOptions { Guard = guard }));
    }

    /// <summary>A file of a server, which can shrink.</summary>
    private sealed class FakeFile : IDisposable
    {
        private readonly string _path = Path.GetTempFileName();
        private readonly FileStream _stream;

        public FakeFile(ulong size)
        {
            _stream = new FileStream(_path, FileMode.Open, FileAccess.ReadWrite);
            _stream.SetLength((long)size);
        }

        public int Number => (int)_stream.SafeFileHandle.DangerousGetHandle();

        public void Truncate(long size) => _stream.SetLength(size);

        public void Dispose()
        {
            _stream.Dispose();
            File.Delete(_path);
        }
    }
}
