namespace Penstock.Vfio;

/// <summary>The driver of an emulated device as the user of its access.</summary>
internal sealed class DeviceAccessUser(VfioDevice device) : IIommufdAccessUser
{
    public void Unmap(ulong iova, ulong length) => device.NotifyDmaUnmap(iova, length);
}
