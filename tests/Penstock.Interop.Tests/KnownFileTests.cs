using Microsoft.Win32.SafeHandles;

namespace Penstock.Interop.Tests;

public sealed class KnownFileTests
{
    private const MemorySeals Final = MemorySeals.Seal | MemorySeals.Shrink | MemorySeals.Grow;

    private readonly ResourceLedger _ledger = new();

    private static bool KernelCompares => Environment.OSVersion.Version >= new Version(6, 10);

    [Theory]
    [InlineData(MemorySeals.Seal, 2)]
    [InlineData(MemorySeals.Seal | MemorySeals.Shrink, 2)]
    [InlineData(Final, 1)]
    public void TryKeep_AFileWithFinalSeals_TellsItsFactsByAnyDescriptorOfIt(MemorySeals seals, long descriptors)
    {
        using MemoryFile file = MemoryFile.Create("known", 8192, seals);
        using OwnedDescriptor copy = file.Descriptor.Duplicate();
        using (KnownFile? known = KnownFile.TryKeep(file.Descriptor.Value, _ledger))
        {
            Assert.Equal(KernelCompares, known is not null);
            Assert.Equal(KernelCompares ? descriptors : 0, _ledger.Outstanding(ResourceKind.Descriptor));
            if (known is not null)
            {
                Assert.True(known.TryGetFacts(copy.Value, out FileFacts facts));
                Assert.Equal(FileFacts.Of(copy.Value), facts);
            }
        }

        Assert.Equal(0, _ledger.Total);
    }

    [Fact]
    public void TryGetFacts_OfAnythingElse_DoesNotKnowIt()
    {
        using MemoryFile file = MemoryFile.Create("known", 8192, Final);
        using MemoryFile other = MemoryFile.Create("other", 8192, Final);
        using SafeFileHandle again = File.OpenHandle($"/proc/self/fd/{file.Descriptor.Value}");
        using KnownFile? known = KnownFile.TryKeep(file.Descriptor.Value);
        Assert.Equal(KernelCompares, known is not null);
        foreach (int descriptor in new[] { other.Descriptor.Value, (int)again.DangerousGetHandle(), int.MaxValue })
        {
            Assert.NotEqual(true, known?.TryGetFacts(descriptor, out _));
        }
    }

    [Fact]
    public void TryKeep_WhatMayChangeOrCannotBeRead_IsNotKept()
    {
        using MemoryFile open = MemoryFile.Create("open", 8192);
        using var folder = new TemporaryFolder();
        string path = folder.File("file");
        File.WriteAllBytes(path, [1]);
        using OwnedDescriptor writing = Libc.OpenForWriting(path);
        using OwnedDescriptor naming = Libc.OpenPathOnly(path);
        (OwnedDescriptor read, OwnedDescriptor write) = Libc.Pipe();
        using (read)
        using (write)
        {
            foreach (OwnedDescriptor descriptor in new[] { open.Descriptor, writing, naming, read })
            {
                Assert.Null(KnownFile.TryKeep(descriptor.Value, _ledger));
            }
        }

        Assert.Equal(0, _ledger.Total);
    }
}
