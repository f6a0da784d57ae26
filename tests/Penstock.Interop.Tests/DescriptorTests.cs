namespace Penstock.Interop.Tests;

public sealed class DescriptorTests : IDisposable
{
    private readonly ResourceLedger _ledger = new();

    public void Dispose() => Assert.Equal("nothing", _ledger.ToString());

    [Fact]
    public void OwnedDescriptor_Dispose_ClosesOnce()
    {
        (OwnedDescriptor read, OwnedDescriptor write) = Libc.Pipe();
        using (read)
        {
            var owner = new OwnedDescriptor(write.Take(), _ledger);
            Assert.Equal("Descriptor 1", _ledger.ToString());
            owner.Dispose();
            owner.Dispose();
            Assert.True(owner.IsClosed);
            Assert.True(Poll.Wait(read.Value, PollEvents.In, TimeSpan.Zero).HasFlag(PollEvents.HangUp));
            Assert.Throws<ObjectDisposedException>(() => owner.Value);
            Assert.Throws<ObjectDisposedException>(() => owner.Take());
            Assert.Throws<ObjectDisposedException>(() => write.Value);
        }
    }

    [Fact]
    public void OwnedDescriptor_TakeAndDisposeRacing_ExactlyOneWins()
    {
        for (int i = 0; i < 500; i++)
        {
            using MemoryFile file = MemoryFile.Create("raced", 0);
            OwnedDescriptor owner = file.Descriptor.Duplicate(_ledger);
            int taken = -1;
            Parallel.Invoke(
                owner.Dispose,
                () =>
                {
                    try
                    {
                        taken = owner.Take();
                    }
                    catch (ObjectDisposedException)
                    {
                        // Dispose was first.
                    }
                });
            Assert.Equal(0, _ledger.Total);
            if (taken >= 0)
            {
                Assert.Equal(FileFacts.Of(file.Descriptor.Value).Inode, FileFacts.Of(taken).Inode);
                new OwnedDescriptor(taken).Dispose();
            }
        }
    }

    [Fact]
    public void OwnedDescriptor_Duplicate_IsCloseOnExecAndOfTheSameFile()
    {
        using MemoryFile file = MemoryFile.Create("one", 100, ledger: _ledger);
        using OwnedDescriptor copy = file.Descriptor.Duplicate(_ledger);
        Assert.NotEqual(file.Descriptor.Value, copy.Value);
        Assert.True(Libc.IsCloseOnExec(copy.Value));
        Assert.Equal(FileFacts.Of(file.Descriptor.Value), FileFacts.Of(copy.Value));
        Assert.Equal(2, _ledger.Outstanding(ResourceKind.Descriptor));
    }

    [Fact]
    public void OwnedDescriptor_Negative_IsRefused() => Assert.Throws<ArgumentOutOfRangeException>(() => new OwnedDescriptor(-1, _ledger));

    [Fact]
    public void Duplicate_NotOpen_NamesCallDescriptorAndError()
    {
        var refused = Assert.Throws<SystemCallException>(() => new OwnedDescriptor(int.MaxValue).Duplicate(_ledger));
        Assert.Equal(("fcntl(F_DUPFD_CLOEXEC)", $"descriptor {int.MaxValue}", Errno.EBADF), (refused.Call, refused.Thing, refused.Errno));
    }

    [Fact]
    public void SystemCallException_Text_NamesCallThingAndError()
    {
        var failure = new SystemCallException("connect", "/run/penstock.sock", Errno.ECONNREFUSED);
        Assert.Equal("connect failed on /run/penstock.sock: ECONNREFUSED (Connection refused)", failure.Message);
        Assert.Equal(("connect", "/run/penstock.sock", Errno.ECONNREFUSED), (failure.Call, failure.Thing, failure.Errno));
    }

    [Fact]
    public void FileFacts_OfEachAccess_SayWhatTheDescriptorMayDo()
    {
        using var folder = new TemporaryFolder();
        string path = folder.File("file");
        File.WriteAllBytes(path, new byte[123]);
        using OwnedDescriptor writing = Libc.OpenForWriting(path);
        using OwnedDescriptor naming = Libc.OpenPathOnly(path);
        using FileStream reading = File.OpenRead(path);
        FileFacts read = FileFacts.Of((int)reading.SafeFileHandle.DangerousGetHandle());
        FileFacts write = FileFacts.Of(writing.Value);
        Assert.Equal(MemoryProtection.Read, read.Access);
        Assert.Equal(MemoryProtection.Write, write.Access);
        Assert.Equal(MemoryProtection.None, FileFacts.Of(naming.Value).Access);
        Assert.Equal((123ul, true, MemorySeals.None), (write.Size, write.IsRegular, write.Seals));
        Assert.Equal((read.Device, read.Inode), (write.Device, write.Inode));
        Assert.Equal(path, FileFacts.KindOf(writing.Value));
    }

    [Fact]
    public void FileFacts_NotOpen_NameCallAndError()
    {
        var refused = Assert.Throws<SystemCallException>(() => FileFacts.Of(int.MaxValue));
        Assert.Equal(("statx", Errno.EBADF), (refused.Call, refused.Errno));
        Assert.Equal("readlink", Assert.Throws<SystemCallException>(() => FileFacts.KindOf(int.MaxValue)).Call);
    }

    [Fact]
    public void ResourceLedger_CountsEachKindOnItsOwn()
    {
        var ledger = new ResourceLedger();
        foreach (ResourceKind kind in Enum.GetValues<ResourceKind>())
        {
            ledger.Acquired(kind);
        }

        ledger.Acquired(ResourceKind.Pin);
        ledger.Released(ResourceKind.Thread);
        Assert.Equal("Descriptor 1, Mapping 1, Pin 2, NativeBlock 1", ledger.ToString());
        Assert.Equal(5, ledger.Total);
        Assert.Equal(2, ledger.Outstanding(ResourceKind.Pin));
    }

    [Fact]
    public void PinCurrentThread_ProcessorThatDoesNotExist_IsInvalid()
    {
        Assert.Equal(Errno.EINVAL, Assert.Throws<SystemCallException>(() => ProcessPlacement.PinCurrentThread(1023)).Errno);
        Assert.Throws<ArgumentOutOfRangeException>(() => ProcessPlacement.PinCurrentThread(1024));
        Assert.Throws<ArgumentOutOfRangeException>(() => ProcessPlacement.PinCurrentThread(-1));
    }

    [Fact]
    public void PinCurrentThread_PresentProcessor_StaysThere()
    {
        bool stayed = true;
        int processor = Thread.GetCurrentProcessorId();
        BackgroundThread thread = BackgroundThread.Start(() =>
        {
            ProcessPlacement.PinCurrentThread(processor);
            for (int i = 0; i < 1000; i++)
            {
                stayed &= Thread.GetCurrentProcessorId() == processor;
                Thread.Yield();
            }
        });
        thread.Join();
        Assert.True(stayed);
    }
}
