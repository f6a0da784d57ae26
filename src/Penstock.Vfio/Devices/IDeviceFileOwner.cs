namespace Penstock.Vfio;

/// <summary>What a device file was opened through.</summary>
internal interface IDeviceFileOwner
{
    /// <summary>The file is closed.</summary>
    void CloseDevice(VfioDevice device);
}
