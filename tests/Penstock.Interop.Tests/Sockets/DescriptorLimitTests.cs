namespace Penstock.Interop.Tests.Sockets;

/// <summary>Tests that change a limit of the whole process; no other test may run meanwhile.</summary>
[CollectionDefinition(nameof(ProcessLimits), DisableParallelization = true)]
public sealed class ProcessLimits;

[Collection(nameof(ProcessLimits))]
public sealed class DescriptorLimitTests
{
    [Theory]
    [InlineData(0)]
    [InlineData(1)]
    [InlineData(2)]
    public void Receive_WithRoomForFewerDescriptorsThanCame_ReportsTheLossAndKeepsNone(int room)
    {
        using var files = new PassedFiles(3);
        var ledger = new ResourceLedger();
        (UnixSocket near, UnixSocket far) = UnixSocket.CreatePair();
        (UnixSocket peer, UnixSocket socket) = UnixSocket.CreatePair();
        using (near)
        using (peer)
        using (socket)
        {
            using var receiver = new FramedReceiver(socket, Frames.Format, ledger);

            // One whole round first, so that nothing is loaded or compiled under the limit.
            Play(peer, receiver, files.Numbers(0, 3), Libc.DescriptorLimit);
            Assert.Equal(3, receiver.DescriptorCount);
            Assert.Equal(ReceiveStatus.WouldBlock, receiver.Receive(false, out _));

            int[] passed = [.. files.Numbers(0, 2), far.Descriptor];
            OwnedDescriptor[] filled = FillHoles(out int free);
            ReceiveStatus status = Play(peer, receiver, passed, (ulong)(free + room));
            Array.ForEach(filled, static f => f.Dispose());
            far.Dispose();

            Assert.Equal(ReceiveStatus.DescriptorsLost, status);
            Assert.Equal(0, ledger.Outstanding(ResourceKind.Descriptor));
            Assert.True(receiver.HasMessage);
            Assert.Equal(ReceiveStatus.DescriptorsLost, receiver.Receive(true, out _));
            receiver.Dispose();
            Assert.Equal("nothing", ledger.ToString());
            Assert.True(Poll.Wait(near.Descriptor, PollEvents.In, TimeSpan.Zero).HasFlag(PollEvents.HangUp));
        }
    }

    [Fact]
    public void Accept_WithNoDescriptorLeft_NamesCallPathAndError()
    {
        using var folder = new TemporaryFolder();
        string path = folder.File("socket");
        using UnixSocketListener listener = UnixSocketListener.Listen(path);
        using UnixSocket client = UnixSocket.Connect(path);
        ulong before = Libc.DescriptorLimit;
        SystemCallException? refused = null;
        try
        {
            Libc.DescriptorLimit = 3;
            listener.Accept();
        }
        catch (SystemCallException e)
        {
            refused = e;
        }
        finally
        {
            Libc.DescriptorLimit = before;
        }

        Assert.NotNull(refused);
        Assert.Equal(("accept4", path, Errno.EMFILE), (refused.Call, refused.Thing, refused.Errno));
        using UnixSocket? accepted = listener.Accept();
        Assert.NotNull(accepted);
    }

    [Fact]
    public void Listen_WithNoDescriptorLeftAfterTheSocket_LeavesNoFile()
    {
        using var folder = new TemporaryFolder();
        string path = folder.File("socket");
        var ledger = new ResourceLedger();
        OwnedDescriptor[] filled = FillHoles(out int free);
        ulong before = Libc.DescriptorLimit;
        SystemCallException? refused = null;
        try
        {
            Libc.DescriptorLimit = (ulong)free + 1;
            UnixSocketListener.Listen(path, ledger);
        }
        catch (SystemCallException e)
        {
            refused = e;
        }
        finally
        {
            Libc.DescriptorLimit = before;
            Array.ForEach(filled, static f => f.Dispose());
        }

        Assert.NotNull(refused);
        Assert.Equal(("eventfd", Errno.EMFILE), (refused.Call, refused.Errno));
        Assert.False(File.Exists(path));
        Assert.Equal("nothing", ledger.ToString());
    }

    private static ReceiveStatus Play(UnixSocket peer, FramedReceiver receiver, int[] passed, ulong limit)
    {
        peer.Send(Frames.Make(40, 1), passed);
        ulong before = Libc.DescriptorLimit;
        try
        {
            Libc.DescriptorLimit = limit;
            return receiver.Receive(false, out _);
        }
        finally
        {
            Libc.DescriptorLimit = before;
        }
    }

    /// <summary>Takes the free numbers below the highest used one, so that the next free ones follow each other.</summary>
    private static OwnedDescriptor[] FillHoles(out int free)
    {
        const int Enough = 300;

        // What other tests have forgotten makes its holes before, not while the limit holds.
        GC.Collect();
        GC.WaitForPendingFinalizers();
        var taken = new List<OwnedDescriptor>();
        taken.Add(MemoryFile.Create("filler", 0).Descriptor);
        for (int i = 0; i < Enough; i++)
        {
            taken.Add(taken[0].Duplicate());
        }

        free = taken[^1].Value + 1;
        return [.. taken];
    }
}
