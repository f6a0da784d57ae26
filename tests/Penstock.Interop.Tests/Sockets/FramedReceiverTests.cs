namespace Penstock.Interop.Tests.Sockets;

public sealed class FramedReceiverTests : IDisposable
{
    private readonly ResourceLedger _ledger = new();
    private readonly UnixSocket _peer;
    private readonly UnixSocket _socket;
    private readonly FramedReceiver _receiver;
    private readonly PassedFiles _files = new(3);

    public FramedReceiverTests()
    {
        (_peer, _socket) = UnixSocket.CreatePair();
        _receiver = new FramedReceiver(_socket, Frames.Format, _ledger);
    }

    public void Dispose()
    {
        _receiver.Dispose();
        _peer.Dispose();
        _socket.Dispose();
        _files.Dispose();
        Assert.Equal("nothing", _ledger.ToString());
    }

    [Fact]
    public void Receive_PassedDescriptors_AreCloseOnExec()
    {
        _peer.Send(Frames.Make(40, 1), _files.Numbers(0, 3));
        Assert.Equal(ReceiveStatus.Message, _receiver.Receive(true, out _));
        for (int i = 0; i < 3; i++)
        {
            using OwnedDescriptor descriptor = _receiver.TakeDescriptor(i);
            Assert.True(Libc.IsCloseOnExec(descriptor.Value));
        }
    }

    [Fact]
    public void Receive_TheNextMessage_ClosesWhatNobodyTook()
    {
        (UnixSocket near, UnixSocket far) = UnixSocket.CreatePair();
        using (near)
        {
            _peer.Send(Frames.Make(40, 1), [far.Descriptor, _files.Numbers(0, 1)[0]]);
            far.Dispose();
            Assert.Equal(ReceiveStatus.Message, _receiver.Receive(true, out _));
            using OwnedDescriptor taken = _receiver.TakeDescriptor(1);
            Assert.Equal(PollEvents.None, Poll.Wait(near.Descriptor, PollEvents.In, TimeSpan.Zero));
            Assert.Equal(2, _ledger.Outstanding(ResourceKind.Descriptor));

            Assert.Equal(ReceiveStatus.WouldBlock, _receiver.Receive(false, out _));
            Assert.True(Poll.Wait(near.Descriptor, PollEvents.In, TimeSpan.Zero).HasFlag(PollEvents.HangUp));
            Assert.Equal(1, _ledger.Outstanding(ResourceKind.Descriptor));
            Assert.Equal(0, _files.IndexOf(taken));
            Assert.Equal(0, _receiver.DescriptorCount);
        }
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void Dispose_WithDescriptorsGivenOutOrWaiting_ClosesThem(bool givenOut)
    {
        (UnixSocket near, UnixSocket far) = UnixSocket.CreatePair();
        using (near)
        {
            byte[] message = Frames.Make(40, 1);
            _peer.Send(givenOut ? message : message.AsSpan(0, 39), [far.Descriptor]);
            far.Dispose();
            Assert.Equal(givenOut ? ReceiveStatus.Message : ReceiveStatus.WouldBlock, _receiver.Receive(false, out _));
            Assert.Equal(1, _ledger.Outstanding(ResourceKind.Descriptor));
            _receiver.Dispose();
            Assert.True(Poll.Wait(near.Descriptor, PollEvents.In, TimeSpan.Zero).HasFlag(PollEvents.HangUp));
            Assert.Equal("nothing", _ledger.ToString());
        }
    }

    [Fact]
    public void Receive_AfterDispose_IsBroken()
    {
        _peer.Send(Frames.Make(40, 1));
        _receiver.Dispose();
        Assert.Equal(ReceiveStatus.Broken, _receiver.Receive(true, out _));
    }

    [Fact]
    public void TakeDescriptor_TwiceOrBeyondTheCount_Throws()
    {
        _peer.Send(Frames.Make(40, 1), _files.Numbers(0, 1));
        Assert.Equal(ReceiveStatus.Message, _receiver.Receive(true, out _));
        _receiver.TakeDescriptor(0).Dispose();
        Assert.Throws<InvalidOperationException>(() => _receiver.TakeDescriptor(0));
        Assert.Throws<ArgumentOutOfRangeException>(() => _receiver.TakeDescriptor(1));
        Assert.Throws<ArgumentOutOfRangeException>(() => _receiver.TakeDescriptor(-1));
    }

    [Theory]
    [InlineData(0u)]
    [InlineData(15u)]
    [InlineData(Frames.Maximum + 1u)]
    [InlineData(0x7fff_ffffu)]
    [InlineData(0x8000_0000u)]
    [InlineData(0xffff_ffffu)]
    public void Receive_ImpossibleLength_GivesTheHeaderAndStaysThere(uint claimed)
    {
        byte[] good = Frames.Make(30, 1);
        byte[] bad = Frames.Make(30, 2, claimed);
        _peer.Send([.. good, .. bad], _files.Numbers(0, 1));
        Assert.Equal(ReceiveStatus.Message, _receiver.Receive(false, out Span<byte> bytes));
        Assert.Equal(good, bytes.ToArray());
        Assert.True(_receiver.HasMessage);
        Assert.Equal(ReceiveStatus.BadLength, _receiver.Receive(false, out bytes));
        Assert.Equal(bad[..Frames.Header], bytes.ToArray());
        Assert.Equal(1, _receiver.DescriptorCount);
        Assert.Equal(ReceiveStatus.BadLength, _receiver.Receive(false, out bytes));
        Assert.Equal(bad[..Frames.Header], bytes.ToArray());
        Assert.Equal(0, _receiver.DescriptorCount);

        // An answer made in place is not taken for a message, nor is what follows.
        Frames.Make(Frames.Header, 3).CopyTo(bytes);
        _peer.Send(good);
        Assert.True(_receiver.HasMessage);
        Assert.Equal(ReceiveStatus.BadLength, _receiver.Receive(false, out bytes));
        Assert.Equal(Frames.Header, bytes.Length);
    }

    [Fact]
    public void HasMessage_PartOfAMessage_IsFalseUntilItIsWhole()
    {
        byte[] message = Frames.Make(40, 1);
        Assert.False(_receiver.HasMessage);
        _peer.Send([.. message, .. message.AsSpan(0, 20)]);
        Assert.Equal(ReceiveStatus.Message, _receiver.Receive(false, out _));
        Assert.False(_receiver.HasMessage);
        _peer.Send([.. message.AsSpan(20), .. message]);
        Assert.Equal(ReceiveStatus.Message, _receiver.Receive(false, out _));
        Assert.True(_receiver.HasMessage);
    }

    [Fact]
    public void Peek_WhateverComes_IsLeftToReceive()
    {
        byte[] good = Frames.Make(40, 1);
        byte[] bad = Frames.Make(30, 2, Frames.Maximum + 1u);
        Assert.Equal(ReceiveStatus.WouldBlock, _receiver.Peek(false, out _));
        _peer.Send([.. good, .. good.AsSpan(0, 20)], _files.Numbers(0, 1));
        for (int i = 0; i < 2; i++)
        {
            Assert.Equal(ReceiveStatus.Message, _receiver.Peek(false, out ReadOnlySpan<byte> seen));
            Assert.Equal(good, seen.ToArray());
            Assert.Equal(0, _receiver.DescriptorCount);
        }

        Assert.Equal(ReceiveStatus.Message, _receiver.Receive(false, out Span<byte> bytes));
        Assert.Equal((good.Length, 0), (bytes.Length, _receiver.DescriptorCount));
        Assert.Equal(ReceiveStatus.WouldBlock, _receiver.Peek(false, out _));
        _peer.Send([.. good.AsSpan(20), .. bad]);
        Assert.Equal(ReceiveStatus.Message, _receiver.Peek(true, out _));
        Assert.Equal(0, _receiver.DescriptorCount);
        Assert.Equal(ReceiveStatus.Message, _receiver.Receive(false, out _));
        Assert.Equal(1, _receiver.DescriptorCount);
        Assert.Equal(ReceiveStatus.BadLength, _receiver.Peek(false, out _));
        Assert.Equal(ReceiveStatus.BadLength, _receiver.Receive(false, out bytes));
        Assert.Equal(bad[..Frames.Header], bytes.ToArray());
        Assert.Equal(ReceiveStatus.BadLength, _receiver.Peek(false, out _));
    }

    /// <summary>With a piece of a message there each of them would wait for the rest.</summary>
    [Fact]
    public void Pieces_DoNotKeepWhoPeeksOrWantsToStopAtThem()
    {
        byte[] message = Frames.Make(40, 1);
        (UnixSocket own, UnixSocket peer) = UnixSocket.CreatePair();
        using (own)
        using (peer)
        using (var impatient = new FramedReceiver(own, Frames.Format) { StopsAtPieces = true })
        {
            peer.Send(message.AsSpan(0, 10));
            Assert.Equal(ReceiveStatus.WouldBlock, impatient.Receive(true, out _));
            peer.Send(message.AsSpan(10, 10));
            Assert.Equal(ReceiveStatus.WouldBlock, impatient.Peek(true, out _));
            peer.Send(message.AsSpan(20));
            Assert.Equal(ReceiveStatus.Message, impatient.Receive(true, out Span<byte> whole));
            Assert.Equal(message, whole.ToArray());
        }
    }

    [Fact]
    public void Peek_PeerCloses_IsTheEndForBoth()
    {
        _peer.Dispose();
        Assert.Equal(ReceiveStatus.End, _receiver.Peek(true, out _));
        Assert.Equal(ReceiveStatus.End, _receiver.Receive(true, out _));
        Assert.Equal(ReceiveStatus.End, _receiver.Peek(true, out _));
    }

    [Fact]
    public void Receive_PeerClosesBetweenMessages_IsTheEnd()
    {
        _peer.Send(Frames.Make(40, 1));
        _peer.Dispose();
        Assert.Equal(ReceiveStatus.Message, _receiver.Receive(true, out _));
        Assert.Equal(ReceiveStatus.End, _receiver.Receive(true, out _));
        Assert.Equal(ReceiveStatus.End, _receiver.Receive(true, out _));
        Assert.Equal(Errno.None, _receiver.Error);
    }

    [Theory]
    [InlineData(3)]
    [InlineData(Frames.Header)]
    [InlineData(39)]
    public void Receive_PeerClosesInsideAMessage_IsBroken(int sent)
    {
        _peer.Send(Frames.Make(40, 1).AsSpan(0, sent), _files.Numbers(0, 1));
        _peer.Dispose();
        Assert.Equal(ReceiveStatus.Broken, _receiver.Receive(true, out _));
        Assert.Equal(ReceiveStatus.Broken, _receiver.Receive(true, out _));
        Assert.Equal(Errno.None, _receiver.Error);
    }

    [Fact]
    public void Receive_PeerClosesWithBytesUnread_IsBrokenForGoodAfterItsLastMessage()
    {
        _peer.Send(Frames.Make(40, 1));
        _socket.Send([1, 2, 3]);
        _peer.Dispose();
        Assert.Equal(ReceiveStatus.Message, _receiver.Receive(true, out _));
        Assert.Equal(ReceiveStatus.Broken, _receiver.Receive(true, out _));
        Assert.Equal(Errno.ECONNRESET, _receiver.Error);

        // The kernel reports the error once, and an end of the stream from then on.
        Assert.Equal(ReceiveStatus.Broken, _receiver.Receive(true, out _));
    }

    [Fact]
    public void Receive_AsManyDescriptorsAsTheKernelPasses_GivesThemAll()
    {
        int[] many = [.. Enumerable.Range(0, UnixSocket.MaximumDescriptors).Select(i => _files.Numbers(i % 3, 1)[0])];
        _peer.Send(Frames.Make(40, 1), many);
        Assert.Equal(ReceiveStatus.Message, _receiver.Receive(true, out _));
        Assert.Equal(UnixSocket.MaximumDescriptors, _receiver.DescriptorCount);
        for (int i = 0; i < many.Length; i++)
        {
            using OwnedDescriptor descriptor = _receiver.TakeDescriptor(i);
            Assert.Equal(i % 3, _files.IndexOf(descriptor));
        }

        Assert.Throws<ArgumentOutOfRangeException>(() => _peer.Send([1], new int[UnixSocket.MaximumDescriptors + 1]));
    }

    [Fact]
    public void Receive_MoreDescriptorsThanOneMessageMayCollect_LosesThemAllAndEnds()
    {
        (UnixSocket near, UnixSocket far) = UnixSocket.CreatePair();
        using (near)
        {
            int[] many = [.. Enumerable.Repeat(far.Descriptor, UnixSocket.MaximumDescriptors)];
            byte[] message = Frames.Make(40, 1);
            for (int i = 0; i < 5; i++)
            {
                _peer.Send(message.AsSpan(i * 4, 4), many);
            }

            far.Dispose();
            _peer.Send(message.AsSpan(20));
            Assert.Equal(ReceiveStatus.DescriptorsLost, _receiver.Receive(false, out _));
            Assert.Equal(ReceiveStatus.DescriptorsLost, _receiver.Receive(false, out _));
            _receiver.Dispose();
            Assert.Equal("nothing", _ledger.ToString());
            Assert.True(Poll.Wait(near.Descriptor, PollEvents.In, TimeSpan.Zero).HasFlag(PollEvents.HangUp));
        }
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void Shutdown_WhileAnotherThreadWaitsInReceive_WakesIt(bool byPeer)
    {
        ReceiveStatus status = ReceiveStatus.WouldBlock;
        BackgroundThread thread = BackgroundThread.Start(() => status = _receiver.Receive(true, out _));
        thread.WaitUntilAsleep();
        (byPeer ? _peer : _socket).Shutdown();
        thread.Join();
        Assert.Equal(ReceiveStatus.End, status);
    }

    [Theory]
    [InlineData(16, -1, 100)]
    [InlineData(16, 13, 100)]
    [InlineData(16, 4, 15)]
    [InlineData(16, 4, int.MaxValue)]
    public void Constructor_ImpossibleFormat_IsRefused(int header, int sizeOffset, int maximum) =>
        Assert.Throws<ArgumentOutOfRangeException>(() => new FramedReceiver(_socket, new FrameFormat(header, sizeOffset, maximum)));
}
