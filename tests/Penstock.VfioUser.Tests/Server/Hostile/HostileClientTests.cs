using System.Runtime.InteropServices;
using Penstock.Interop;
using Penstock.Specs.Vfio;
using Penstock.Vfio;
using static Penstock.VfioUser.Tests.DmaWire;

namespace Penstock.VfioUser.Tests.Server;

/// <summary>Clients that try to end or to stop the server for others.</summary>
public sealed partial class HostileClientTests
{
    private const int GetFlags = 3;
    private const int SetFlags = 4;
    private const int NonBlocking = 0x800;
    private const uint EventfdTrigger = 4 | 32;
    private const uint NoneTrigger = 1 | 32;
    private const uint Msix = 2;

    private static readonly TimeSpan Short = TimeSpan.FromSeconds(2);

    [Fact]
    public void Map_MoreWindowsThanMayBeLive_AreCopiedAndWork()
    {
        const ulong Window = 1 << 20;
        using var served = new ServedFunction(mappings: new MappingCacheOptions { WindowBytes = Window, LiveMappings = 2 });
        using (WireClient client = served.ConnectEnabled())
        using (MemoryFile memory = Handles.Memory(8 * Window, fill: 0x5a))
        {
            for (ulong i = 0; i < 8; i++)
            {
                client.Succeed(Cmd.DmaMap, WireClient.Map(i << 12, 4096, offset: i * Window), memory.Number());
            }

            Assert.Equal(2, served.Host.Mappings.Count);
            byte[] data = new byte[8 << 12];
            Assert.Equal(Errno.None, served.DmaRead(0, data));
            Assert.All(data, value => Assert.Equal(0x5a, value));
        }

        served.NextEnd();
        served.AssertBalanced();
    }

    [Fact]
    public void Map_CopiedFromMoreFilesThanMayBeOpen_ENOSPCAndTheSessionLives()
    {
        const uint ReadWriteByFileIo = 11;
        using var served = new ServedFunction(mappings: new MappingCacheOptions { LiveDescriptors = 3 });
        using (WireClient client = served.ConnectEnabled())
        {
            for (ulong i = 0; i < 8; i++)
            {
                using MemoryFile memory = Handles.Memory(4096, fill: (byte)(i + 1));
                Assert.Equal(i < 3 ? Errno.None : Errno.ENOSPC, client.Try(Cmd.DmaMap, WireClient.Map(i << 12, 4096, ReadWriteByFileIo), memory.Number()));
            }

            byte[] data = new byte[1];
            Assert.Equal(Errno.None, served.DmaRead(2 << 12, data));
            Assert.Equal(3, data[0]);
            client.Succeed(Cmd.DmaUnmap, WireClient.Unmap(0, 4096));
            using MemoryFile last = Handles.Memory(4096, fill: 9);
            client.Succeed(Cmd.DmaMap, WireClient.Map(0, 4096, ReadWriteByFileIo), last.Number());
            client.AssertAlive();
        }

        served.NextEnd();
        served.AssertBalanced();
    }

    [Fact]
    public void Eventfd_MadeBlockingAndFilled_DoesNotStopTheServer()
    {
        using var served = new ServedFunction();
        using (EventDescriptor trap = EventDescriptor.Create())
        using (WireClient client = served.ConnectEnabled())
        {
            client.Succeed(Cmd.SetIrqs, WireClient.Irqs(EventfdTrigger, Msix, 0, 1), trap.Number());
            Assert.Equal(0, fcntl(trap.Number(), SetFlags, fcntl(trap.Number(), GetFlags, 0) & ~NonBlocking));
            ulong full = ulong.MaxValue - 1;
            Assert.Equal(8, write(trap.Number(), ref full, 8));
            client.Succeed(Cmd.SetIrqs, WireClient.Irqs(NoneTrigger, Msix, 0, 1));
            client.AssertAlive();
        }

        served.NextEnd();
        using (WireClient next = served.Connect())
        {
            next.AssertAlive();
        }

        served.NextEnd();
    }

    [Fact]
    public void SetIrqs_RangesThatTheDeviceDoesNotHave_LeaveNoDescriptorBehind()
    {
        using var served = new ServedFunction();
        using (WireClient client = served.ConnectEnabled())
        {
            for (uint start = 1000; start < 1000 + 200; start++)
            {
                using EventDescriptor e = EventDescriptor.Create();
                Assert.Equal(Errno.EINVAL, client.Try(Cmd.SetIrqs, WireClient.Irqs(EventfdTrigger, Msix, start, 1), e.Number()));
            }

            Assert.Equal(0, served.Server.WatchedEventfds);
            using EventDescriptor good = EventDescriptor.Create();
            client.Succeed(Cmd.SetIrqs, WireClient.Irqs(EventfdTrigger, Msix, 0, 1), good.Number());
            Assert.Equal(1, served.Server.WatchedEventfds);
        }

        served.NextEnd();
    }

    /// <summary>Also while the session is in no step at all: whoever waits may be another thread than the session's.</summary>
    [Theory]
    [InlineData(0, VfioIrqSetFlags.None)]
    [InlineData(1, VfioIrqSetFlags.ActionUnmask)]
    [InlineData(1, VfioIrqSetFlags.ActionTrigger)]
    [InlineData(1000, VfioIrqSetFlags.ActionTrigger)]
    public async Task SignalWatch_EventfdThatIsOrWasKnown_IsEmptiedWhenFull(int others, VfioIrqSetFlags action)
    {
        using EventDescriptor trap = EventDescriptor.Create();
        using EventDescriptor other = EventDescriptor.Create();
        using var watch = new SignalWatch();
        watch.Remember(Msix, VfioIrqSetFlags.ActionTrigger, 0, trap);
        Assert.Equal(0, fcntl(trap.Number(), SetFlags, fcntl(trap.Number(), GetFlags, 0) & ~NonBlocking));
        ulong full = ulong.MaxValue - 1;
        Assert.Equal(8, write(trap.Number(), ref full, 8));
        Task<nint> stuck = Task.Factory.StartNew(
            () =>
            {
                ulong one = 1;
                return write(trap.Number(), ref one, 8);
            },
            CancellationToken.None,
            TaskCreationOptions.LongRunning,
            TaskScheduler.Default);
        for (int i = 0; i < others; i++)
        {
            watch.Remember(Msix, action, 0, other);
        }

        Assert.Equal(action == VfioIrqSetFlags.ActionUnmask ? 2 : 1, watch.Count);
        Assert.Equal(8, await stuck.WaitAsync(TimeSpan.FromMinutes(1)));
    }

    [Fact]
    public void SilentClient_IsSentAwayAndTheNextOneServed()
    {
        using var served = new ServedFunction(new VfioUserServerOptions { PeerTimeout = Short });
        using WireClient silent = served.ConnectRaw();
        silent.SendBytes([0, 0, 1]);
        Assert.Equal(SessionEndKind.ProtocolViolation, served.NextEnd().Kind);
        using (WireClient next = served.Connect())
        {
            next.AssertAlive();
        }

        served.NextEnd();
    }

    [Fact]
    public void Log_ThatThrows_EndsNothing()
    {
        int lines = 0;
        using var served = new ServedFunction(new VfioUserServerOptions
        {
            Log = _ =>
            {
                lines++;
                throw new IOException("the disk is full");
            },
        });
        using (WireClient client = served.Connect())
        {
            Assert.NotEqual(Errno.None, client.Try(Cmd.DmaMap, WireClient.Map(1, 3)));
            client.AssertAlive();
        }

        served.NextEnd();
        using (WireClient next = served.Connect())
        {
            next.AssertAlive();
        }

        served.NextEnd();
        Assert.Equal(1, lines);
    }

    [Fact]
    public void Refusals_WithoutEnd_AreToldOnlyForAWhile()
    {
        using var served = new ServedFunction();
        using (WireClient client = served.Connect())
        {
            for (int i = 0; i < 100; i++)
            {
                Assert.NotEqual(Errno.None, client.Try(Cmd.DmaMap, WireClient.Map(1, 3)));
            }
        }

        served.NextEnd();
        Assert.InRange(served.Log.Count(line => line.Contains("DmaMap", StringComparison.Ordinal)), 1, 20);
    }

    [Fact]
    public void RegisterAccess_ThatWaitsForItsOwnMessageDma_FailsInsteadOfHanging()
    {
        using var served = new ServedFunction(new VfioUserServerOptions { PeerTimeout = Short });
        using (WireClient client = Prepare(served))
        {
            Errno result = Errno.None;
            served.Function.OnPortRead = _ => result = served.Function.Port.Dma.ReadAsync(Base, new byte[64]).AsTask().GetAwaiter().GetResult();
            client.Read(WireFunction.PortBar, 0, 1);
            Assert.Equal(Errno.ETIMEDOUT, result);
            served.Function.OnPortRead = null;
            client.AssertAlive();
        }

        served.NextEnd();
        served.AssertBalanced();
    }

    [LibraryImport("libc")]
    private static partial int fcntl(int fd, int command, int argument);

    [LibraryImport("libc")]
    private static partial nint write(int fd, ref ulong value, nuint size);
}
