namespace Penstock.Interop.Tests;

public sealed class EventDescriptorTests : IDisposable
{
    private const uint AlmostFull = uint.MaxValue;
    private readonly ResourceLedger _ledger = new();

    public void Dispose() => Assert.Equal("nothing", _ledger.ToString());

    [Fact]
    public void Signal_ThenDrain_CountsAndLeavesZero()
    {
        using EventDescriptor ev = EventDescriptor.Create(_ledger);
        Assert.False(ev.TryDrain(out ulong count));
        Assert.Equal(0ul, count);
        Assert.Equal(Errno.None, ev.Signal());
        Assert.Equal(Errno.None, ev.Signal());
        Assert.True(ev.TryDrain(out count));
        Assert.Equal(2ul, count);
        Assert.False(ev.TryDrain(out _));
        Assert.True(Libc.IsCloseOnExec(ev.Descriptor.Value));
    }

    [Fact]
    public void Duplicate_SharesTheCounterAndOutlivesTheFirst()
    {
        using EventDescriptor second = Make(out EventDescriptor first);
        first.Signal();
        first.Dispose();
        Assert.True(second.TryDrain(out ulong count));
        Assert.Equal(1ul, count);
        Assert.True(Libc.IsCloseOnExec(second.Descriptor.Value));

        EventDescriptor Make(out EventDescriptor ev)
        {
            ev = EventDescriptor.Create(_ledger);
            return ev.Duplicate(_ledger);
        }
    }

    [Fact]
    public void Adopt_Pipe_IsRefusedByNameAndStaysWithTheCaller()
    {
        (OwnedDescriptor read, OwnedDescriptor write) = Libc.Pipe();
        using (read)
        using (write)
        {
            var refused = Assert.Throws<SystemCallException>(() => EventDescriptor.Adopt(write));
            Assert.Equal(Errno.EINVAL, refused.Errno);
            Assert.Contains("pipe:", refused.Message, StringComparison.Ordinal);
            Assert.False(write.IsClosed);
            Assert.True(Libc.IsOpen(write.Value));
        }
    }

    [Theory]
    [InlineData("[eventfd]")]
    [InlineData("anon_inode:[eventfd]")]
    public void Adopt_FileThatIsNamedLikeOne_IsRefused(string name)
    {
        using var folder = new TemporaryFolder();
        File.WriteAllText(folder.File(name), string.Empty);
        using OwnedDescriptor file = Libc.OpenForWriting(folder.File(name));
        Assert.Equal(Errno.EINVAL, Assert.Throws<SystemCallException>(() => EventDescriptor.Adopt(file)).Errno);
        using MemoryFile memory = MemoryFile.Create(name, 4096, ledger: _ledger);
        Assert.Equal(Errno.EINVAL, Assert.Throws<SystemCallException>(() => EventDescriptor.Adopt(memory.Descriptor)).Errno);
    }

    [Fact]
    public void Adopt_OtherAnonymousDescriptor_IsRefused()
    {
        (UnixSocket first, UnixSocket second) = UnixSocket.CreatePair();
        using (first)
        using (second)
        using (var owner = new OwnedDescriptor(first.Descriptor))
        {
            Assert.Contains("socket:", Assert.Throws<SystemCallException>(() => EventDescriptor.Adopt(owner)).Message, StringComparison.Ordinal);
            owner.Take();
        }
    }

    [Fact]
    public void Adopt_DescriptorThatIsNotOpen_IsABadDescriptor()
    {
        using var owner = new OwnedDescriptor(int.MaxValue);
        Assert.Equal(Errno.EBADF, Assert.Throws<SystemCallException>(() => EventDescriptor.Adopt(owner)).Errno);
        var closed = new OwnedDescriptor(int.MaxValue);
        closed.Dispose();
        Assert.Throws<ObjectDisposedException>(() => EventDescriptor.Adopt(closed));
    }

    [Fact]
    public void Signal_AdoptedBlockingAndFullCounter_SaysSoWithoutWaiting()
    {
        using EventDescriptor ev = EventDescriptor.Adopt(Libc.BlockingEvent(AlmostFull));

        // eventfd(2) starts at 2^32 - 1 at most; the counter is full at 2^64 - 2.
        Span<byte> rest = stackalloc byte[8];
        BitConverter.TryWriteBytes(rest, ulong.MaxValue - 1 - AlmostFull);
        using (var stream = new FileStream(new Microsoft.Win32.SafeHandles.SafeFileHandle(ev.Descriptor.Value, ownsHandle: false), FileAccess.Write, 0))
        {
            stream.Write(rest);
        }

        Assert.Equal(Errno.EAGAIN, ev.Signal());
        Assert.True(ev.TryDrain(out ulong count));
        Assert.Equal(ulong.MaxValue - 1, count);
        Assert.False(ev.TryDrain(out _));
        Assert.Equal(Errno.None, ev.Signal());
    }

    [Fact]
    public void Signal_AfterDispose_ThrowsAndTouchesNothing()
    {
        EventDescriptor ev = EventDescriptor.Create(_ledger);
        ev.Dispose();
        ev.Dispose();
        Assert.Throws<ObjectDisposedException>(() => ev.Signal());
    }

    [Fact]
    public void Identity_OfDuplicates_IsOneAndOfOthersAnother()
    {
        using var first = EventDescriptor.Create();
        using EventDescriptor duplicate = first.Duplicate();
        using EventDescriptor adopted = EventDescriptor.Adopt(first.Descriptor.Duplicate());
        using var second = EventDescriptor.Create();
        Assert.Equal(first.Identity, duplicate.Identity);
        Assert.Equal(first.Identity, adopted.Identity);
        Assert.NotEqual(first.Identity, second.Identity);
    }

    [Fact]
    public void OnClosed_LastDuplicateCloses_IsTold()
    {
        int told = 0;
        var first = EventDescriptor.Create();
        EventDescriptor duplicate = first.Duplicate();
        using EventDescriptor held = first.Hold();
        using IDisposable wish = first.OnClosed(() => told++);
        first.OnClosed(() => told += 100).Dispose();
        first.Dispose();
        first.Dispose();
        Assert.Equal(0, told);
        duplicate.Dispose();
        Assert.Equal(1, told);
        Assert.Equal(Errno.None, held.Signal());
        held.OnClosed(() => told++).Dispose();
        Assert.Equal(2, told);
    }
}
