using Penstock.Interop;
using Penstock.Vfio;

namespace Penstock.VfioUser.Tests.Client;

/// <summary>DMA_READ and DMA_WRITE in the client's role: it serves them, beside its own commands.</summary>
public sealed class ClientDmaAccessTests
{
    private const ulong Iova = 0x10_0000;
    private const ulong ReadOnly = 0x20_0000;
    private const ulong WriteOnly = 0x30_0000;
    private const ulong Top = 0xffff_ffff_ffff_f000;

    [Theory]
    [InlineData(Iova, 1ul)]
    [InlineData(Iova + 0xfff, 1ul)]
    [InlineData(Iova + 0x123, 0x800ul)]
    [InlineData(Iova, 0x2000ul)]
    [InlineData(ReadOnly, 0x1000ul)]
    [InlineData(Top, 0x1000ul)]
    [InlineData(Iova, 0ul)]
    public void Read_OfWhatIsMapped_GivesItsBytes(ulong iova, ulong count) => Serve(s =>
    {
        s.Command(5, Cmd.DmaRead, new Payload().U64(iova, count));
        WireMessage answer = s.Answer(5, Cmd.DmaRead);
        Assert.Equal((iova, count, 16 + (int)count), (answer.U64(0), answer.U64(8), answer.Body.Length));
        Assert.Equal(DmaWire.Pattern((int)(iova & 0xfff), (int)count), answer.Body[16..]);
    });

    [Theory]
    [InlineData(0x10_0000ul - 1, 1ul, Errno.EFAULT)]
    [InlineData(0x10_0000ul - 1, 2ul, Errno.EFAULT)]
    [InlineData(0x10_2000ul, 1ul, Errno.EFAULT)]
    [InlineData(0x10_1ffful, 2ul, Errno.EFAULT)]
    [InlineData(0ul, 4096ul, Errno.EFAULT)]
    [InlineData(ulong.MaxValue, 2ul, Errno.EFAULT)]
    [InlineData(Top, 0x1001ul, Errno.EFAULT)]
    [InlineData(WriteOnly, 1ul, Errno.EPERM)]
    [InlineData(Iova, 0x10_0001ul, Errno.EINVAL)]
    [InlineData(Iova, 0x8000_0000ul, Errno.EINVAL)]
    [InlineData(Iova, ulong.MaxValue, Errno.EINVAL)]
    [InlineData(Iova, 0xffff_ffff_0000_0001ul, Errno.EINVAL)]
    public void Read_OfAnythingElse_IsRefused(ulong iova, ulong count, Errno errno) => Serve(s =>
    {
        s.Command(5, Cmd.DmaRead, new Payload().U64(iova, count));
        Assert.Empty(s.Answer(5, Cmd.DmaRead, (uint)errno).Body);
    });

    [Theory]
    [InlineData(0)]
    [InlineData(15)]
    [InlineData(17)]
    [InlineData(32)]
    public void Read_OfAnotherLength_IsRefused(int length) => Serve(s =>
    {
        s.Command(5, Cmd.DmaRead, [.. new Payload().U64(Iova, 4, 0, 0).ToBytes()[..length]]);
        s.Answer(5, Cmd.DmaRead, (uint)Errno.EINVAL);
    });

    [Theory]
    [InlineData(Iova, 1)]
    [InlineData(Iova + 0x123, 0x1800)]
    [InlineData(WriteOnly, 0x1000)]
    [InlineData(Iova, 0)]
    public void Write_OfWhatIsMapped_ChangesItsBytes(ulong iova, int count) => Serve(
        s =>
        {
            s.Command(5, Cmd.DmaWrite, [.. new Payload().U64(iova, (ulong)count).ToBytes(), .. DmaWire.Pattern(99, count)]);
            Assert.Equal(new Payload().U64(iova, (ulong)count).ToBytes(), s.Answer(5, Cmd.DmaWrite).Body);
        },
        changed: (iova, DmaWire.Pattern(99, count)));

    [Theory]
    [InlineData(0x10_0000ul - 2, 2, Errno.EFAULT)]
    [InlineData(0x10_2000ul, 1, Errno.EFAULT)]
    [InlineData(ulong.MaxValue, 2, Errno.EFAULT)]
    [InlineData(ReadOnly, 4, Errno.EPERM)]
    [InlineData(ReadOnly - 1, 2, Errno.EFAULT)]
    public void Write_OfAnythingElse_IsRefusedAndChangesNothing(ulong iova, int count, Errno errno) => Serve(s =>
    {
        s.Command(5, Cmd.DmaWrite, [.. new Payload().U64(iova, (ulong)count).ToBytes(), .. DmaWire.Pattern(99, count)]);
        Assert.Empty(s.Answer(5, Cmd.DmaWrite, (uint)errno).Body);
    });

    [Theory]
    [InlineData(4ul, 3)]
    [InlineData(4ul, 5)]
    [InlineData(0ul, 1)]
    [InlineData(0x10_0001ul, 4)]
    [InlineData(ulong.MaxValue, 0)]
    public void Write_WithOtherDataThanSaid_IsRefusedAndChangesNothing(ulong count, int data) => Serve(s =>
    {
        s.Command(5, Cmd.DmaWrite, [.. new Payload().U64(Iova, count).ToBytes(), .. new byte[data]]);
        s.Answer(5, Cmd.DmaWrite, (uint)Errno.EINVAL);
    });

    [Fact]
    public void Write_ThatWantsNoReply_GetsNone() => Serve(
        static s =>
        {
            s.Command(5, Cmd.DmaWrite, [.. new Payload().U64(Iova, 2).ToBytes(), 7, 7], Cmd.NoReply);
            s.Command(6, Cmd.DmaWrite, [.. new Payload().U64(0, 2).ToBytes(), 7, 7], Cmd.NoReply);
            s.Command(7, Cmd.DmaRead, new Payload().U64(Iova, 2));
            Assert.Equal([7, 7], s.Answer(7, Cmd.DmaRead).Body[16..]);
        },
        changed: (Iova, [7, 7]));

    [Theory]
    [InlineData(1)]
    [InlineData(9)]
    [InlineData(13)]
    [InlineData(0)]
    [InlineData(999)]
    public void Command_ThatNoServerSends_IsRefused(ushort command) => Serve(s =>
    {
        s.Command(5, command, new Payload().U64(Iova, 4));
        s.Answer(5, command, (uint)Errno.EINVAL);
    });

    [Fact]
    public void Command_WithDescriptors_TheyAreClosed() => Serve(static s =>
    {
        (Microsoft.Win32.SafeHandles.SafeFileHandle read, Microsoft.Win32.SafeHandles.SafeFileHandle write) = Handles.Pipe();
        s.Command(5, Cmd.DmaRead, new Payload().U64(Iova, 4), 0, write.Number(), write.Number());
        write.Dispose();
        s.Answer(5, Cmd.DmaRead);
        s.Command(6, Cmd.DmaRead, new Payload().U64(Iova, 4));
        s.Answer(6, Cmd.DmaRead);
        Handles.AssertAllClosed(read);
        read.Dispose();
    });

    [Fact]
    public void Commands_WhileTheClientWaits_AreServedBeforeItsReply() => FakeServer.Talk(
        static s =>
        {
            s.Reply(s.Expect(Cmd.DmaMap), []);
            WireMessage reset = s.Expect(Cmd.Reset);

            // The same id as the client's own command: type tells them apart.
            s.Command(reset.Id, Cmd.DmaWrite, [.. new Payload().U64(Iova, 1).ToBytes(), 42]);
            s.Answer(reset.Id, Cmd.DmaWrite);
            for (ushort i = 0; i < 50; i++)
            {
                s.Command(i, Cmd.DmaRead, new Payload().U64(Iova, 1));
            }

            for (ushort i = 0; i < 50; i++)
            {
                Assert.Equal(42, s.Answer(i, Cmd.DmaRead).Body[16]);
            }

            s.Reply(reset, []);
        },
        static c =>
        {
            var memory = ProcessMemory.Allocate(0x1000);
            c.MapDma(Iova, 0x1000, DmaAccess.ReadWrite, memory);
            c.Reset();
            Assert.Equal(42, memory.Span(0, 1)[0]);
            memory.Release();
        });

    [Fact]
    public void Commands_Without_Reading_TheAnswers_EndTheConnection() => FakeServer.Talk(
        static s =>
        {
            s.Reply(s.Expect(Cmd.DmaMap), []);
            byte[] read = WireClient.Message(1, Cmd.DmaRead, new Payload().U64(Iova, Cmd.Megabyte));
            Handles.Await(
                () =>
                {
                    while (s.Socket.TrySend(read, out int sent) == Errno.None && sent == read.Length)
                    {
                    }

                    return (Poll.Wait(s.Socket.Descriptor, PollEvents.None, TimeSpan.Zero) & PollEvents.HangUp) != 0;
                },
                "the client gives up");
        },
        static c =>
        {
            var memory = ProcessMemory.Allocate(Cmd.Megabyte);
            c.MapDma(Iova, Cmd.Megabyte, DmaAccess.ReadWrite, memory);
            memory.Release();
            c.Connection.ReplyTime = TimeSpan.FromMilliseconds(300);

            // Other tests run beside this one and keep memory of their own.
            long before = GC.GetTotalMemory(true);
            Handles.Await(() => c.Failure is not null, "the end of a server that does not read");
            Assert.InRange(GC.GetTotalMemory(true) - before, long.MinValue, 256 << 20);
        });

    [Fact]
    public void Memory_ThatIsItselfReachedByMessages_DoesNotBlockTheReader() => FakeServer.Talk(
        static s =>
        {
            s.Reply(s.Expect(Cmd.DmaMap), []);
            WireMessage reset = s.Expect(Cmd.Reset);
            s.Command(1, Cmd.DmaRead, new Payload().U64(Iova, 4));
            s.Command(2, Cmd.DmaWrite, [.. new Payload().U64(Iova, 4).ToBytes(), 1, 2, 3, 4]);
            s.Reply(reset, []);
            WireMessage[] answers = [s.Receive(), s.Receive()];
            Assert.Equal([9, 9, 9, 9], Assert.Single(answers, static a => a.Id == 1).Body[16..]);
            Assert.Equal(0u, Assert.Single(answers, static a => a.Id == 2).Error);
            s.Hangup();
        },
        static c =>
        {
            using var far = new SlowChannel();
            var memory = new MessageMemory(far, 0, 0x1000);
            c.MapDma(Iova, 0x1000, DmaAccess.ReadWrite, memory);
            memory.Release();
            c.Reset();
            far.Go();
            Handles.Await(() => c.Failure is not null, "the server's end");
            Assert.Equal([1, 2, 3, 4], far.Written);
        });

    /// <summary>They are short, but each of them is held here until somebody else has answered.</summary>
    [Fact]
    public void MessagesForSomebodyElse_ManyShortOnes_AreRefusedAtSomePoint() => FakeServer.Talk(
        static s =>
        {
            s.Reply(s.Expect(Cmd.DmaMap), []);
            for (int i = 0; i < 4200; i++)
            {
                s.Command((ushort)i, Cmd.DmaRead, new Payload().U64(Iova, 1));
            }

            WireMessage refused = s.Receive();
            Assert.Equal((Cmd.DmaRead, (uint)Errno.EBUSY), (refused.Command, refused.Error));
            s.Hangup();
        },
        static c =>
        {
            using var far = new SlowChannel();
            var memory = new MessageMemory(far, 0, 0x1000);
            c.MapDma(Iova, 0x1000, DmaAccess.ReadWrite, memory);
            memory.Release();
            Handles.Await(() => c.Failure is not null, "the server's end");
        });

    private static void Serve(Action<FakeServer> script, (ulong Iova, byte[] Bytes)? changed = null) => FakeServer.Talk(
        s =>
        {
            for (int i = 0; i < 5; i++)
            {
                s.Reply(s.Expect(Cmd.DmaMap), []);
            }

            script(s);
            s.Hangup();
        },
        c =>
        {
            (ulong Iova, DmaAccess Access, ProcessMemory Memory)[] maps =
            [
                (Iova, DmaAccess.ReadWrite, Filled(0)),
                (Iova + 0x1000, DmaAccess.ReadWrite, Filled(0x1000)),
                (ReadOnly, DmaAccess.Read, Filled(0)),
                (WriteOnly, DmaAccess.Write, Filled(0)),
                (Top, DmaAccess.ReadWrite, Filled(0)),
            ];
            foreach ((ulong iova, DmaAccess access, ProcessMemory memory) in maps)
            {
                c.MapDma(iova, 0x1000, access, memory);
            }

            Handles.Await(() => c.Failure is not null, "the server's end");
            foreach ((ulong iova, _, ProcessMemory memory) in maps)
            {
                byte[] expected = DmaWire.Pattern(iova == Iova + 0x1000 ? 0x1000 : 0, 0x1000);
                for (int i = 0; changed is { } c2 && i < c2.Bytes.Length; i++)
                {
                    ulong at = c2.Iova + (ulong)i - iova;
                    if (at < 0x1000)
                    {
                        expected[at] = c2.Bytes[i];
                    }
                }

                Assert.Equal(expected, memory.Span(0, 0x1000).ToArray());
                memory.Release();
            }
        });

    private static ProcessMemory Filled(int start)
    {
        var memory = ProcessMemory.Allocate(0x1000);
        DmaWire.Pattern(start, 0x1000).CopyTo(memory.Span(0, 0x1000));
        return memory;
    }

    /// <summary>Somebody else who has the memory, and takes his time.</summary>
    private sealed class SlowChannel : IDmaMessageChannel, IDisposable
    {
        private readonly TaskCompletionSource _go = new(TaskCreationOptions.RunContinuationsAsynchronously);

        public byte[] Written { get; private set; } = [];

        public void Go() => _go.SetResult();

        public Errno Read(ulong iova, Span<byte> destination, DmaTransfer transfer) => Errno.EDEADLK;

        public Errno Write(ulong iova, ReadOnlySpan<byte> source, DmaTransfer transfer) => Errno.EDEADLK;

        public async ValueTask<Errno> ReadAsync(ulong iova, Memory<byte> destination, DmaTransfer transfer, CancellationToken cancellation)
        {
            await _go.Task.ConfigureAwait(false);
            destination.Span.Fill(9);
            return Errno.None;
        }

        public async ValueTask<Errno> WriteAsync(ulong iova, ReadOnlyMemory<byte> source, DmaTransfer transfer, CancellationToken cancellation)
        {
            await _go.Task.ConfigureAwait(false);
            Written = source.ToArray();
            return Errno.None;
        }

        public void Dispose() => _go.TrySetResult();
    }
}
