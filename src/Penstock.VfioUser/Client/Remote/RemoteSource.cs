using Penstock.Interop;
using Penstock.Specs.Vfio;
using Penstock.Vfio;

namespace Penstock.VfioUser;

/// <summary>A device's state, read by messages.</summary>
internal sealed class RemoteSource(VfioUserClient client, Func<MigrationState> state) : MigrationSource
{
    // Not every server tells how much there is: then there is something until something has come.
    private bool _hasRead;

    public override ulong InitialBytes => Ask().Initial;

    public override ulong DirtyBytes => Ask().Dirty;

    public override Errno Read(Span<byte> destination, out int read)
    {
        read = 0;
        try
        {
            read = client.ReadMigrationData(destination);
        }
        catch (VfioException e)
        {
            return e.Errno == Errno.ENODEV ? Errno.ENODEV : Errno.EIO;
        }

        _hasRead = true;

        // The wire says the same of a device that works on and of one that has told everything.
        return read != 0 || state() == MigrationState.StopCopy ? Errno.None : Errno.ENOMSG;
    }

    public override void DeviceStopped()
    {
        // The server knows.
    }

    private (ulong Initial, ulong Dirty) Ask()
    {
        try
        {
            VfioPrecopyInfo info = client.GetPrecopyInfo();
            return (info.InitialBytes, info.DirtyBytes);
        }
        catch (VfioException)
        {
            return (_hasRead ? 0ul : 1, 0);
        }
    }
}
