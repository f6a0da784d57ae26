using Penstock.Interop;
using Penstock.Pci;
using Penstock.Vfio;

namespace Penstock.Devices;

/// <summary>
/// A mediated device that makes sense inside a virtual machine only: it watches pages of the guest, which a machine with
/// <see cref="IPageTracking"/> lets it do from first open to last close. Without one it cannot be opened: ESRCH.
/// </summary>
public sealed class PageWatchDevice : MediatedPciDevice, IPageWatcher
{
    private readonly PageWatchFunction _function;
    private IPageTrack? _track;

    /// <summary>Makes the device.</summary>
    /// <param name="mdev">The mediated device that is being created.</param>
    public PageWatchDevice(MdevDevice mdev)
        : this(mdev, new PageWatchFunction())
    {
    }

    private PageWatchDevice(MdevDevice mdev, PageWatchFunction function)
        : base(mdev, function) => _function = function;

    /// <inheritdoc/>
    void IPageWatcher.PageWritten(ulong address, ReadOnlySpan<byte> data) => _function.Tell(address, data);

    /// <inheritdoc/>
    protected override void Open()
    {
        if (Hypervisor is not IPageTracking machine)
        {
            throw new VfioException(
                Errno.ESRCH,
                $"open of {Name}",
                Hypervisor is null ? "it works for a virtual machine only, and the file's user has named none" : "the virtual machine cannot watch pages of its guest");
        }

        _track = machine.Track(this);
        try
        {
            using (Strand.EnterRegisterCall())
            {
                _function.Track = _track;
            }

            base.Open();
        }
        catch
        {
            EndTracking();
            throw;
        }
    }

    /// <inheritdoc/>
    protected override void Close()
    {
        base.Close();
        EndTracking();
    }

    private void EndTracking()
    {
        using (Strand.EnterRegisterCall())
        {
            _function.Track = null;
        }

        // Waits for a notice in progress, which enters the strand: so not inside it.
        _track!.Dispose();
        _track = null;
    }
}
