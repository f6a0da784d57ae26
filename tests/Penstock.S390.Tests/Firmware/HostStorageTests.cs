using Penstock.Interop;
using Penstock.Vfio;

namespace Penstock.S390.Tests.Firmware;

public sealed class HostStorageTests
{
    [Fact]
    public void Allocate_Pieces_AreAlignedZeroAndApart()
    {
        using var firmware = new ZpciFirmware();
        HostStorage storage = firmware.Storage;
        uint small = storage.Allocate(32, 32);
        uint table = storage.Allocate(100, 64);
        Assert.NotEqual(0u, small);
        Assert.Equal(0u, table % 64);
        Assert.True(table >= small + 32 || small >= table + 100);
        storage.Bytes(small, 32).Fill(0xff);
        Assert.All(storage.Bytes(table, 100).ToArray(), static b => Assert.Equal(0, b));
        storage.Free(small, 32);
        Assert.Equal(small, storage.Allocate(1, 32));
        Assert.All(storage.Bytes(small, 32).ToArray(), static b => Assert.Equal(0, b));
        Assert.Throws<ArgumentOutOfRangeException>(() => storage.Bytes(HostStorage.Length - 8, 16).Length);
    }

    [Fact]
    public void Resolve_AddressPastTheStorage_IsOneOfThisProcess()
    {
        using var firmware = new ZpciFirmware();
        Assert.Equal(unchecked((nint)0x7f00_1234_5678), firmware.Storage.Resolve(0x7f00_1234_5678));
        Assert.Equal(firmware.Storage.Resolve(0x40) + 0x20, firmware.Storage.Resolve(0x60));
    }

    [Fact]
    public void Allocate_NothingLeft_ENOMEM()
    {
        using var firmware = new ZpciFirmware();
        VfioException refused = Assert.Throws<VfioException>(() => firmware.Storage.Allocate((int)HostStorage.Length, 32));
        Assert.Equal(Errno.ENOMEM, refused.Errno);
    }
}
